module example.com/my-eval

go 1.24

require github.com/instructlab/ilab-host/plugins/sdk-go v0.1.0

replace github.com/instructlab/ilab-host/plugins/sdk-go => ./sdk
