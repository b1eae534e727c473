"""What a training job will take on a TPU slice, said by the compiler before there is a slice."""
