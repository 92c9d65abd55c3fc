module github.com/instructlab/ilab-host/plugins/sdk-go

go 1.24
