// Package fetch downloads the public data sets that package tasks reads. It uses
// https alone, tries several mirrors, resumes interrupted downloads, and
// checks each file against a known SHA-256 sum before it puts the file in place.
package fetch

import (
	"fmt"
	"strings"

	"learnedopt/internal/nearest"
)

// A File is one file of a data set.
type File struct {
	// Name is the file's name in the data set's folder.
	Name string
	// Size is its exact length in bytes.
	Size int64
	// SHA256 is its SHA-256 sum in lower-case hexadecimal.
	SHA256 string
	// URLs are its addresses, all https; they are tried in this order.
	URLs []string
}

// A Dataset is a set of files, which lie in a folder of the data set's name.
type Dataset struct {
	Name  string
	Files []File
}

// Names returns the names of the data sets that can be fetched.
func Names() []string { return []string{"mnist", "fashion-mnist", "cifar10"} }

// Lookup returns the data set of a name.
//
// The sums of MNIST (LeCun, Cortes, Burges) and CIFAR-10 (Krizhevsky 2009) are
// the sums that TensorFlow Datasets and others check. The sums of Fashion-MNIST (Xiao
// et al. 2017) belong to the files of its repository, whose MD5 sums are the ones that its
// authors publish.
func Lookup(name string) (Dataset, error) {
	switch name {
	case "mnist":
		return mirrored(name, []string{
			"https://storage.googleapis.com/cvdf-datasets/mnist/",
			"https://ossci-datasets.s3.amazonaws.com/mnist/",
		}, []File{
			{Name: "train-images-idx3-ubyte.gz", Size: 9912422, SHA256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
			{Name: "train-labels-idx1-ubyte.gz", Size: 28881, SHA256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
			{Name: "t10k-images-idx3-ubyte.gz", Size: 1648877, SHA256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
			{Name: "t10k-labels-idx1-ubyte.gz", Size: 4542, SHA256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
		}), nil
	case "fashion-mnist":
		return mirrored(name, []string{
			"https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
			"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
			"https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
		}, []File{
			{Name: "train-images-idx3-ubyte.gz", Size: 26421880, SHA256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
			{Name: "train-labels-idx1-ubyte.gz", Size: 29515, SHA256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
			{Name: "t10k-images-idx3-ubyte.gz", Size: 4422102, SHA256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
			{Name: "t10k-labels-idx1-ubyte.gz", Size: 5148, SHA256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"},
		}), nil
	case "cifar10":
		return mirrored(name, []string{
			"https://www.cs.toronto.edu/~kriz/",
			"https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
		}, []File{
			{Name: "cifar-10-binary.tar.gz", Size: 170052171, SHA256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
		}), nil
	}
	return Dataset{}, fmt.Errorf("tasks/fetch: no data set %q to fetch%s There are %s", name, nearest.DidYouMean(name, Names()), strings.Join(Names(), ", "))
}

// mirrored returns the data set with the address of every file on every mirror.
func mirrored(name string, mirrors []string, files []File) Dataset {
	for i := range files {
		for _, mirror := range mirrors {
			files[i].URLs = append(files[i].URLs, mirror+files[i].Name)
		}
	}
	return Dataset{Name: name, Files: files}
}
