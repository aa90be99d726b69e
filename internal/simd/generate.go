package simd

// The programs in _gen generate the assembly and its stubs. _gen is a separate module,
// so that avo is no dependency of this module. Its package twin says what every kernel
// computes; bf16 and neon do without avo; neon writes the kernels for arm64. A check generates them again and must find
// no difference:
//
//	go generate ./internal/... && git diff --exit-code -- internal
//
//go:generate go -C _gen run ./matmul -pkg simd -out ../matmul_amd64.s -stubs ../matmul_amd64.go
//go:generate go -C _gen run ./bf16 -out ../bf16_amd64.s -stubs ../bf16_amd64.go
//go:generate go -C _gen run ./cell -pkg simd -out ../cell_amd64.s -stubs ../cell_amd64.go
//go:generate go -C _gen run ./outer -pkg simd -out ../outer_amd64.s -stubs ../outer_amd64.go
//go:generate go -C _gen run ./inputs -pkg simd -out ../inputs_amd64.s -stubs ../inputs_amd64.go
//go:generate go -C _gen run ./momenta -pkg simd -out ../momenta_amd64.s -stubs ../momenta_amd64.go
//go:generate go -C _gen run ./elu -pkg simd -out ../elu_amd64.s -stubs ../elu_amd64.go
//go:generate go -C _gen run ./half -pkg simd -out ../half_amd64.s -stubs ../half_amd64.go
//go:generate go -C _gen run ./peak -pkg simd -out ../peak_amd64.s -stubs ../peak_amd64.go
//go:generate go -C _gen run ./neon -pkg simd -out ../kernels_arm64.s -stubs ../kernels_arm64.go
