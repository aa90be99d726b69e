// Package denoising removes noise from piecewise constant signals (Amos and Kolter 2017, section 4.2): by total variation,
//
//	x = argmin ½‖x − y‖² + λ Σ_i |x_{i+1} − x_i|,
//
// which TautString computes exactly, and by a Layer that learns a matrix D in place of the differences,
//
//	x = argmin ½‖x − y‖² + ‖Dx‖₁.
package denoising
