package gemm

//go:generate go -C ../simd/_gen run ./gemm -pkg gemm -out ../../gemm/panel_amd64.s -stubs ../../gemm/panel_amd64.go
//go:generate go -C ../simd/_gen run ./pixels -pkg gemm -out ../../gemm/pixels_amd64.s -stubs ../../gemm/pixels_amd64.go
//go:generate go -C ../simd/_gen run ./neon -pkg gemm -out ../../gemm/kernels_arm64.s -stubs ../../gemm/kernels_arm64.go
