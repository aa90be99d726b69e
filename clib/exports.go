package main

/*
#include <stdlib.h>
#include "metaopt.h"

// cgo writes prototypes without const, but keeps the names of types.
typedef const char metaopt_text;
typedef const void *metaopt_data;
typedef const float metaopt_float;
typedef const metaopt_tensor metaopt_layout;
typedef float *const metaopt_floats32;
typedef double *const metaopt_floats64;
typedef const float *const metaopt_constants32;
typedef const double *const metaopt_constants64;
*/
import "C"

import (
	"bytes"
	"math"
	"unsafe"

	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

// answer calls f, and hands its error over.
func answer(text **C.char, f func() error) C.int {
	err := guarded(f)
	if err != nil && text != nil {
		*text = C.CString(err.Error())
	}
	return C.int(result(err))
}

// give stores a value where the caller wants it.
func give[T any](to *T, value T) error {
	if to == nil {
		return invalidf("NULL where a result is to be stored")
	}
	*to = value
	return nil
}

// giveRule stores the handle of a rule.
func giveRule(to *C.uint64_t, make func() (*metaopt.Optimizer, error)) error {
	if to == nil {
		return invalidf("NULL where a result is to be stored")
	}
	o, err := make()
	if err != nil {
		return err
	}
	*to = C.uint64_t(handles.add(o))
	return nil
}

// giveBytes stores a copy of data for metaopt_free.
func giveBytes(to *unsafe.Pointer, size *C.size_t, data []byte) error {
	if to == nil || size == nil {
		return invalidf("NULL where a result is to be stored")
	}
	*to, *size = C.CBytes(data), C.size_t(len(data))
	return nil
}

// elements returns n elements at p, without copying.
func elements[T any](p *T, n C.size_t) ([]T, error) {
	if p == nil && n > 0 || uint64(n) > math.MaxInt/uint64(max(unsafe.Sizeof(*new(T)), 1)) {
		return nil, invalidf("%d elements at %p", uint64(n), p)
	}
	return unsafe.Slice(p, int(n)), nil
}

// coordinates returns the coordinates of a run, which lie where count pointers say.
func coordinates[T any, F any](r *run, pointers *T, count C.size_t) ([][]F, error) {
	lengths := r.lengths
	if count == 1 && len(lengths) != 1 {
		lengths = []int{r.Len()}
	}
	if int(count) != len(lengths) {
		return nil, invalidf("%d pointers for %d tensors; give one for each, or one for all coordinates", uint64(count), len(lengths))
	}
	all, err := elements((**F)(unsafe.Pointer(pointers)), count)
	if err != nil {
		return nil, err
	}
	out := make([][]F, len(all))
	for i, p := range all {
		if out[i], err = elements(p, C.size_t(lengths[i])); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// layoutOf returns the layout of described tensors.
func layoutOf(tensors *C.metaopt_layout, count C.size_t) (layout optimizer.Layout, err error) {
	all, err := elements((*C.metaopt_tensor)(unsafe.Pointer(tensors)), count)
	if err != nil {
		return layout, err
	}
	list, n := make([]optimizer.Tensor, len(all)), 1<<40 // the sum must not overflow
	for i, t := range all {
		if t.axes < 0 || t.kind < 0 || t.kind > C.METAOPT_CONVOLUTION {
			return layout, invalidf("tensor %d has %d axes and kind %d", i, t.axes, t.kind)
		}
		shape, err := elements(t.shape, C.size_t(t.axes))
		if err != nil {
			return layout, err
		}
		list[i] = optimizer.Tensor{Kind: optimizer.Kind(t.kind), OutputAxis: int(t.output_axis)}
		if t.name != nil {
			list[i].Name = C.GoString(t.name)
		}
		size := 1
		for _, d := range shape {
			if d > 1<<40 || size*int(d) > n {
				return layout, invalidf("tensor %d is too large", i)
			}
			size *= int(d)
			list[i].Shape = append(list[i].Shape, int(d))
		}
		n -= size
	}
	if layout, err = optimizer.NewLayout(list...); err != nil {
		err = invalidf("%v", err)
	}
	return layout, err
}

//export metaopt_interface
func metaopt_interface() C.int { return C.METAOPT_INTERFACE }

//export metaopt_free
func metaopt_free(memory unsafe.Pointer) { C.free(memory) }

//export metaopt_release
func metaopt_release(handle C.uint64_t, text **C.char) C.int {
	return answer(text, func() error { return handles.remove(uint64(handle)) })
}

//export metaopt_load
func metaopt_load(path *C.metaopt_text, rule *C.uint64_t, text **C.char) C.int {
	return answer(text, func() error {
		if path == nil {
			return invalidf("the path is NULL")
		}
		return giveRule(rule, func() (*metaopt.Optimizer, error) { return load(C.GoString((*C.char)(path))) })
	})
}

//export metaopt_read
func metaopt_read(data C.metaopt_data, size C.size_t, rule *C.uint64_t, text **C.char) C.int {
	return answer(text, func() error {
		content, err := elements((*byte)(unsafe.Pointer(data)), size)
		if err != nil {
			return err
		}
		return giveRule(rule, func() (*metaopt.Optimizer, error) { return read(content) })
	})
}

//export metaopt_pretrained
func metaopt_pretrained(name *C.metaopt_text, rule *C.uint64_t, text **C.char) C.int {
	return answer(text, func() error {
		if name == nil {
			return invalidf("the name is NULL")
		}
		return giveRule(rule, func() (*metaopt.Optimizer, error) { return metaopt.Pretrained(C.GoString((*C.char)(name))) })
	})
}

//export metaopt_write
func metaopt_write(rule C.uint64_t, data *unsafe.Pointer, size *C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		o, err := of[*metaopt.Optimizer](&handles, uint64(rule), "rule")
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := metaopt.Write(&b, o); err != nil {
			return err
		}
		return giveBytes(data, size, b.Bytes())
	})
}

//export metaopt_reads_parameters
func metaopt_reads_parameters(rule C.uint64_t, reads *C.int, text **C.char) C.int {
	return answer(text, func() error {
		o, err := of[*metaopt.Optimizer](&handles, uint64(rule), "rule")
		if err != nil {
			return err
		}
		if o.Network.Eyes() {
			return give(reads, 1)
		}
		return give(reads, 0)
	})
}

//export metaopt_start
func metaopt_start(rule C.uint64_t, tensors *C.metaopt_layout, count C.size_t, to *C.uint64_t, text **C.char) C.int {
	return answer(text, func() error {
		o, err := of[*metaopt.Optimizer](&handles, uint64(rule), "rule")
		if err != nil {
			return err
		}
		layout, err := layoutOf(tensors, count)
		if err != nil {
			return err
		}
		if to == nil {
			return invalidf("NULL where a result is to be stored")
		}
		*to = C.uint64_t(handles.add(start(o, layout)))
		return nil
	})
}

//export metaopt_set_total
func metaopt_set_total(handle C.uint64_t, total C.int64_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			if total < 0 {
				return invalidf("a total of %d steps", int64(total))
			}
			r.SetTotal(int(total))
			return nil
		})
	})
}

//export metaopt_steps
func metaopt_steps(handle C.uint64_t, steps *C.int64_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error { return give(steps, C.int64_t(r.Steps())) })
	})
}

//export metaopt_step_f32
func metaopt_step_f32(handle C.uint64_t, theta *C.metaopt_floats32, grad *C.metaopt_constants32, count C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			return stepAt(r, theta, grad, count, (*metaopt.Run).StepGroups)
		})
	})
}

//export metaopt_step_f64
func metaopt_step_f64(handle C.uint64_t, theta *C.metaopt_floats64, grad *C.metaopt_constants64, count C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			return stepAt(r, theta, grad, count, (*metaopt.Run).StepGroups64)
		})
	})
}

func stepAt[T, G any, F float32 | float64](r *run, theta *T, grad *G, count C.size_t, step func(r *metaopt.Run, theta, grad [][]F) error) error {
	t, err := coordinates[T, F](r, theta, count)
	if err != nil {
		return err
	}
	g, err := coordinates[G, F](r, grad, count)
	if err != nil {
		return err
	}
	return step(r.Run, t, g)
}

//export metaopt_update_f32
func metaopt_update_f32(handle C.uint64_t, update *C.metaopt_floats32, theta, grad *C.metaopt_constants32, count C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			u, err := coordinates[C.metaopt_floats32, float32](r, update, count)
			if err != nil {
				return err
			}
			g, err := coordinates[C.metaopt_constants32, float32](r, grad, count)
			if err != nil {
				return err
			}
			var t [][]float32
			if theta != nil {
				if t, err = coordinates[C.metaopt_constants32, float32](r, theta, count); err != nil {
					return err
				}
			}
			return r.updateInto(u, t, g)
		})
	})
}

//export metaopt_save
func metaopt_save(handle C.uint64_t, data *unsafe.Pointer, size *C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			content, err := r.MarshalBinary()
			if err != nil {
				return err
			}
			return giveBytes(data, size, content)
		})
	})
}

//export metaopt_resume
func metaopt_resume(handle C.uint64_t, data C.metaopt_data, size C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			content, err := elements((*byte)(unsafe.Pointer(data)), size)
			if err != nil {
				return err
			}
			return r.UnmarshalBinary(content)
		})
	})
}

//export metaopt_values
func metaopt_values(handle C.uint64_t, steps *C.int64_t, values *C.float, count *C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			if count == nil {
				return invalidf("the count is NULL")
			}
			n, all := r.Values()
			if values != nil {
				if int(*count) != len(all) {
					return invalidf("room for %d values of %d", uint64(*count), len(all))
				}
				copy(unsafe.Slice((*float32)(values), len(all)), all)
			}
			*count = C.size_t(len(all))
			if steps != nil {
				*steps = C.int64_t(n)
			}
			return nil
		})
	})
}

//export metaopt_set_values
func metaopt_set_values(handle C.uint64_t, steps C.int64_t, values *C.metaopt_float, count C.size_t, text **C.char) C.int {
	return answer(text, func() error {
		return use(uint64(handle), func(r *run) error {
			all, err := elements((*float32)(unsafe.Pointer(values)), count)
			if err != nil {
				return err
			}
			return r.SetValues(int(steps), all)
		})
	})
}
