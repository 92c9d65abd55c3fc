// What runs in the tests' own container images.
module ilab-host/tests/cluster/tools/images

go 1.24.0
