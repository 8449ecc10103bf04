"""`superdyn verify`: whether the files of runs, sweeps and token shards are whole and unaltered, and which is not."""
