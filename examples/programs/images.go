package main

import (
	"math/rand/v2"

	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

var (
	mnistMLP = program{
		name: "mnist-64", about: "MNIST, 784-64-10 ReLU from He's start, minibatches of 128", steps: 100,
		open: perceptron(tasks.LoadMNIST, he, 128, 784, 64, 10),
	}
	mnistDeep = program{
		name: "mnist-64-32", about: "MNIST, 784-64-32-10 ReLU from He's start, minibatches of 32", steps: 2000,
		open: perceptron(tasks.LoadMNIST, he, 32, 784, 64, 32, 10),
	}
	cifarMLP = program{
		name: "cifar10-64", about: "CIFAR-10, 3072-64-10 ReLU from Glorot's start, minibatches of 128", steps: 300,
		open: perceptron(tasks.LoadCIFAR10, glorot, 128, 3072, 64, 10),
	}
)

// perceptron returns how to open a multilayer perceptron with ReLU on images.
func perceptron(load func(dir string) (*tasks.Dataset, error), start func(optimizer.Layout, *rand.Rand) []float32, batch int, sizes ...int) func(uint64, string) (trainable, error) {
	return func(seed uint64, dataDir string) (trainable, error) {
		data, err := load(dataDir)
		if err != nil {
			return nil, err
		}
		net := newDense(batch, false, sizes...)
		layout := mustLayout(net.tensors()...)
		labels, last := make([]int, batch), len(sizes)-1
		return &model[float32]{
			layout: layout,
			theta:  start(layout, stream.New(seed, "start", 0)),
			draw:   func(_ []float32, t int) { minibatch(net.h[0], labels, data, stream.New(seed, "batch", uint64(t))) },
			lossGrad: func(grad, theta []float32) float64 {
				loss := softmaxLoss(net.d[last], net.forward(theta), labels)
				net.backward(grad, theta, false)
				return loss
			},
		}, nil
	}
}

// minibatch draws training images, with pixels from 0 to 1, and their labels.
func minibatch(x []float32, labels []int, data *tasks.Dataset, rng *rand.Rand) {
	features := len(x) / len(labels)
	for i := range labels {
		at := rng.IntN(data.Len(tasks.Train))
		data.Image(x[i*features:][:features], tasks.Train, at)
		labels[i] = data.Label(tasks.Train, at)
	}
}
