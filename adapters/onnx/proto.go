package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages in onnx.proto (github.com/onnx/onnx), of which a model needs these few. Code generated from that
// file would be a hundred times as long.
const (
	modelIRVersion, modelProducer, modelVersion, modelDoc = 1, 2, 3, 6
	modelGraph, modelOpset, modelMetadata                 = 7, 8, 14
	opsetVersion                                          = 2
	entryKey, entryValue                                  = 1, 2
	graphNode, graphName, graphInitializer, graphDoc      = 1, 2, 5, 10
	graphInput, graphOutput                               = 11, 12
	nodeInput, nodeOutput, nodeOp, nodeAttribute          = 1, 2, 4, 5
	attributeName, attributeInt, attributeType            = 1, 3, 20
	tensorDims, tensorType, tensorName, tensorRaw         = 1, 2, 8, 9
	valueName, valueType, valueDoc                        = 1, 2, 3
	typeTensor, typeElement, typeShape                    = 1, 1, 2
	shapeDim, dimValue, dimName                           = 1, 1, 2

	isInt = 2 // AttributeProto.INT

	float32s, int64s, float64s = 1, 7, 11 // TensorProto.DataType
)

// A message is a protobuf message in wire format.
type message []byte

func (m message) int(field protowire.Number, x int) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(x))
}

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) sub(field protowire.Number, x []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), x)
}

// tensor returns a TensorProto. x is a []float32, a []int64 or a []float64.
func tensor[T float32 | int64 | float64](name string, shape []int, x []T) message {
	var m message
	for _, d := range shape {
		m = m.int(tensorDims, d)
	}
	var raw []byte
	of := 0
	for _, v := range x {
		switch v := any(v).(type) {
		case float32:
			of, raw = float32s, binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		case int64:
			of, raw = int64s, binary.LittleEndian.AppendUint64(raw, uint64(v))
		case float64:
			of, raw = float64s, binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
	}
	return m.int(tensorType, of).text(tensorName, name).sub(tensorRaw, raw)
}

// value returns a ValueInfoProto. A dimension below 0 is the number of coordinates, which callers choose.
func value(name, doc string, of int, shape ...int) message {
	var dims message
	for _, d := range shape {
		if d < 0 {
			dims = dims.sub(shapeDim, message(nil).text(dimName, "n"))
		} else {
			dims = dims.sub(shapeDim, message(nil).int(dimValue, d))
		}
	}
	typ := message(nil).int(typeElement, of).sub(typeShape, dims)
	return message(nil).text(valueName, name).sub(valueType, message(nil).sub(typeTensor, typ)).text(valueDoc, doc)
}
