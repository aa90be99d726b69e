package conv

import (
	"math"

	"learnedopt/internal/gemm"
)

// A raster holds images with their channels last and a border of zeros, so that the neighbours of all pixels lie at the same
// distances. A row has Cols+1 pixels: the border right of a row is the border left of the next one. The border below an
// image is the border above the next one. Pixel (y, x) of image i, counted from 0 and without the border, is pixel
//
//	i·(Rows+1)·(Cols+1) + (y+1)·(Cols+1) + x+1
//
// of the raster. A row of the kernel covers three adjacent pixels, which are 3·channels adjacent numbers. The product
//
//	(3·channels) × outputs
//
// of one row of the kernel with all pixels of an image is therefore one matrix product without a copy. Its left factor is a
// view of the raster whose rows overlap.

// width returns the number of pixels of a raster's row.
func (k Layer) width() int { return k.Cols + 1 }

// image returns the number of pixels from one image of a raster to the next.
func (k Layer) image() int { return (k.Rows + 1) * k.width() }

// outputs returns the number of pixels of an image's convolution. They are in the order of the raster, from pixel (0, 0) on, and every row but the last one
// ends with one pixel without meaning.
func (k Layer) outputs() int { return k.Rows*k.width() - 1 }

// raster returns an empty raster of images with the layer's rows and columns.
func (k Layer) raster(images, channels int) []float32 {
	return make([]float32, (images*k.image()+k.width()+1)*channels)
}

// put copies an image without a border, channels last, into a raster.
func (k Layer) put(raster, image []float32, i, channels int) {
	n, w := k.Cols*channels, k.width()*channels
	at := (i*k.image() + k.width() + 1) * channels
	for y := range k.Rows {
		copy(raster[at+y*w:][:n], image[y*n:])
	}
}

// get copies the result of convolve, an image of the layer's inputs, without the pixels that have no meaning.
func (k Layer) get(image, z []float32) {
	n, w := k.Cols*k.Inputs, k.width()*k.Inputs
	for y := range k.Rows {
		copy(image[y*n:][:n], z[y*w:])
	}
}

// putPlanes copies an image that has one plane for each channel into a raster.
func (k Layer) putPlanes(raster, image []float32, i int) {
	if k.Inputs == 1 {
		k.put(raster, image, i, 1)
		return
	}
	at := (i*k.image() + k.width() + 1) * k.Inputs
	for c := range k.Inputs {
		plane := image[c*k.Rows*k.Cols:]
		for y := range k.Rows {
			dst := raster[at+y*k.width()*k.Inputs+c:]
			for x, v := range plane[y*k.Cols:][:k.Cols] {
				dst[x*k.Inputs] = v
			}
		}
	}
}

// convolve computes, for all pixels p of one image and all output channels,
//
//	dst[p] = Σ_{u,v<3} w[u][v]ᵀ src[p + u·width + v],   or dst[p] += if acc.
//
// src starts with the image's first pixel in a raster of in channels; w has the shape 3×3×in×out.
func (k Layer) convolve(g *gemm.Kernel, dst, src, w []float32, in, out int, acc bool) {
	part := kernel * in
	for u := range kernel {
		pixels := gemm.Matrix{Data: src[u*k.width()*in:], Rows: k.outputs(), Cols: part, RowStride: in, ColStride: 1}
		g.Mul(gemm.Of(dst, k.outputs(), out), pixels, gemm.Of(w[u*part*out:], part, out), acc || u > 0)
	}
}

// correlate is the transpose of convolve in w: it computes
//
//	dst[u][v] = Σ_p src[p + u·width + v] dz[p]ᵀ,   or dst[u][v] += if acc,
//
// where dz has the layout of convolve's result. dz must be 0 where it has no meaning.
func (k Layer) correlate(g *gemm.Kernel, dst, src, dz []float32, acc bool) {
	in, out, part := k.Inputs, k.Outputs, kernel*k.Inputs
	for u := range kernel {
		pixels := gemm.Matrix{Data: src[u*k.width()*in:], Rows: part, Cols: k.outputs(), RowStride: 1, ColStride: in}
		g.Mul(gemm.Of(dst[u*part*out:], part, out), pixels, gemm.Of(dz, k.outputs(), out), acc)
	}
}

// flip writes the kernel with which convolve computes its own transpose in src: dst[u][v] = w[2−u][2−v]ᵀ.
func (k Layer) flip(dst, w []float32) {
	in, out, last := k.Inputs, k.Outputs, kernel*kernel-1
	for tap := range kernel * kernel {
		from, to := w[(last-tap)*in*out:], dst[tap*in*out:]
		for c := range in {
			for o := range out {
				to[o*in+c] = from[c*out+o]
			}
		}
	}
}

// pool writes the largest of each two by two pixels of z, channel by channel, and where it is in z. Of equal numbers any may win. A NaN
// wins against all numbers, as in PyTorch.
func (k Layer) pool(h []float32, winner []int32, z []float32) {
	out, w := k.Outputs, k.width()*k.Outputs
	for y := range k.Rows / 2 {
		for x := range k.Cols / 2 {
			at := 2*y*w + 2*x*out
			a, b := z[at:][:out], z[at+out:][:out]
			c, d := z[at+w:][:out], z[at+w+out:][:out]
			best, from := h[:out], winner[:out]
			for j, p := range a {
				// Integers with the winner in their last bits, since a processor cannot predict which pixel wins.
				q, r, s := b[j], c[j], d[j]
				i := larger(larger(order(p)<<2, order(q)<<2|1), larger(order(r)<<2|2, order(s)<<2|3)) & 3
				if sum := p + q + r + s; sum != sum {
					i = firstNaN(p, q, r, s, i)
				}
				where := at + j + int(i&1)*out + int(i>>1)*w
				best[j], from[j] = z[where], int32(where)
			}
			h, winner = h[out:], winner[out:]
		}
	}
}

// spread writes the derivatives of an image's maxima into a raster of one image, each where its maximum was, and 0 elsewhere.
func (k Layer) spread(raster, dz []float32, winner []int32) {
	inside := k.inside(raster)
	clear(inside)
	winner = winner[:len(dz)]
	for j, d := range dz {
		inside[winner[j]] = d
	}
}

// gather is the transpose of spread: it reads the result of convolve where the maxima were.
func gather(dst, z []float32, winner []int32) {
	winner = winner[:len(dst)]
	for j := range dst {
		dst[j] = z[winner[j]]
	}
}

// inside returns a raster of one image of outputs without the border before the first pixel.
func (k Layer) inside(raster []float32) []float32 {
	return raster[(k.width()+1)*k.Outputs:][:k.outputs()*k.Outputs]
}

// order returns an integer that is larger for a larger x.
func order(x float32) int64 {
	bits := int32(math.Float32bits(x))
	return int64(bits ^ int32(uint32(bits>>31)>>1))
}

// larger returns the larger of two integers that are far from overflow, without a branch.
func larger(a, b int64) int64 {
	d := a - b
	return a - d&(d>>63)
}

// firstNaN returns the index of the first NaN of four numbers, otherwise if there is none.
func firstNaN(p, q, r, s float32, otherwise int64) int64 {
	for i, v := range [...]float32{p, q, r, s} {
		if v != v {
			return int64(i)
		}
	}
	return otherwise
}
