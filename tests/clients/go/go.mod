module dtgate.test/client

go 1.21
