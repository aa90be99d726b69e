package bench

import (
	"runtime"
	"time"

	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// heap returns the number of heap bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	return inUse()
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// memory returns the growth of the heap in use, garbage included, during two meta-steps with windows of 100 steps.
func (b *bench) memory(family optimizer.Family) (uint64, error) {
	before := heap()
	trainer, err := metatrain.NewTrainer(metatrain.TrainConfig{Family: family, Steps: 100, Unroll: 100, MetaSteps: 1})
	if err != nil {
		return 0, err
	}
	defer trainer.Close()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := inUse()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, inUse())
			case <-stop:
				peak <- max(most, inUse())
				return
			}
		}
	}()
	for range 2 {
		if err = trainer.Step(b.ctx); err != nil {
			break
		}
	}
	close(stop)
	most := <-peak
	if most < before {
		return 0, err
	}
	return most - before, err
}
