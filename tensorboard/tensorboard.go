// Package tensorboard writes event files for TensorBoard, with scalars and histograms
// over the steps of a training.
//
//	w, err := tensorboard.Create("events/run1")
//	w.Scalar(step, "loss", loss)
//	w.Histogram(step, "weights", weights)
//	err = w.Close() // returns the first error of all these calls
//
// An event file is a sequence of TFRecords, each with an Event protobuf. The sources of TensorBoard define
// both, in tensorflow/tsl/lib/io/record_writer.h and in event.proto, summary.proto and histogram.proto.
package tensorboard

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Writer writes one event file. It keeps its first error: after it, Scalar and Histogram write nothing, and
// Flush and Close return it. A Writer belongs to one goroutine.
type Writer struct {
	f     io.WriteCloser
	w     *bufio.Writer
	now   func() time.Time
	event []byte // buffer of one event, reused
	err   error
}

// made counts the files of this process. The count makes their names unique.
var made atomic.Int64

// Create makes an event file in a folder; it makes the folder if it does not exist. The file's name has the form that
// TensorBoard looks for: events.out.tfevents.<seconds>.<host>.<process>.<number>.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", time.Now().Unix(), plain(host), os.Getpid(), made.Add(1)-1)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	return NewWriter(f), nil
}

// plain replaces characters that a file's name must not contain.
func plain(host string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, host)
}

// NewWriter returns a Writer that writes an event file to f. Close closes f.
func NewWriter(f io.WriteCloser) *Writer { return newWriter(f, time.Now) }

func newWriter(f io.WriteCloser, now func() time.Time) *Writer {
	w := &Writer{f: f, w: bufio.NewWriter(f), now: now}
	w.record(w.version())
	return w
}

// Flush hands everything that was written to the operating system, so that a running TensorBoard
// can read it.
func (w *Writer) Flush() error {
	if err := w.w.Flush(); w.err == nil && err != nil {
		w.err = fmt.Errorf("tensorboard: %w", err)
	}
	return w.err
}

// Close flushes and closes the file.
func (w *Writer) Close() error {
	err := w.Flush()
	if closed := w.f.Close(); err == nil && closed != nil {
		err = fmt.Errorf("tensorboard: %w", closed)
	}
	return err
}

// Start says that a training begins at a step, or goes on from there after an interruption: of what earlier files of the
// folder hold, TensorBoard then shows only the steps before it (SessionLog with the status START).
func (w *Writer) Start(step int64) {
	status := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
	w.at(step, eventSession, status)
}

// Scalar writes a value of a tag at a step; it is stored as a float32. Tags with a slash are
// shown in groups.
func (w *Writer) Scalar(step int64, tag string, value float64) {
	v := protowire.AppendTag(w.value(tag), valueSimple, protowire.Fixed32Type)
	w.summary(step, protowire.AppendFixed32(v, math.Float32bits(float32(value))))
}

// Histogram writes the distribution of the finite values in 30 buckets
// of the same width, if there are any. If some values are not finite, it writes their number as a scalar, tag/non_finite.
func (w *Writer) Histogram(step int64, tag string, values []float32) {
	h := newHistogram(values)
	if left := len(values) - int(h.num); left > 0 {
		w.Scalar(step, tag+"/non_finite", float64(left))
	}
	if h.num == 0 {
		return
	}
	v := protowire.AppendTag(w.value(tag), valueHistogram, protowire.BytesType)
	w.summary(step, protowire.AppendBytes(v, h.proto()))
}

// The field numbers of the protobufs.
const (
	eventTime    = 1 // double, seconds
	eventStep    = 2 // int64
	eventVersion = 3 // string
	eventSummary = 5 // Summary
	eventSession = 7 // SessionLog

	sessionStatus = 1 // enum
	sessionStart  = 1 // START

	summaryValue = 1 // repeated Value

	valueTag       = 1 // string
	valueSimple    = 2 // float
	valueHistogram = 5 // HistogramProto
)

// fileVersion is the content of a file's first event.
const fileVersion = "brain.Event:2"

// version returns the first event of a file.
func (w *Writer) version() []byte {
	b := protowire.AppendTag(w.stamp(), eventVersion, protowire.BytesType)
	return protowire.AppendString(b, fileVersion)
}

// stamp begins an event with the current time.
func (w *Writer) stamp() []byte {
	b := protowire.AppendTag(w.event[:0], eventTime, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(float64(w.now().UnixNano())/1e9))
}

// value begins the Value of a tag.
func (w *Writer) value(tag string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
}

// summary writes an event of one value.
func (w *Writer) summary(step int64, value []byte) {
	w.at(step, eventSummary, protowire.AppendBytes(protowire.AppendTag(nil, summaryValue, protowire.BytesType), value))
}

// at writes an event with a step and one field of bytes.
func (w *Writer) at(step int64, field protowire.Number, content []byte) {
	b := w.stamp()
	if step != 0 { // proto3 leaves defaults out
		b = protowire.AppendVarint(protowire.AppendTag(b, eventStep, protowire.VarintType), uint64(step))
	}
	w.record(protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked returns the checksum of a TFRecord: a CRC-32C that is rotated and has a constant added. A plain CRC would be weak
// for data that contain CRCs themselves.
func masked(data []byte) uint32 {
	const delta = 0xa282ead8
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + delta
}

// record writes an event in the frame of a TFRecord:
//
//	length uint64, masked(length) uint32, event, masked(event) uint32
//
// in little-endian order.
func (w *Writer) record(event []byte) {
	w.event = event
	if w.err != nil {
		return
	}
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:], uint64(len(event)))
	binary.LittleEndian.PutUint32(head[8:], masked(head[:8]))
	var tail [4]byte
	binary.LittleEndian.PutUint32(tail[:], masked(event))
	for _, part := range [][]byte{head[:], event, tail[:]} {
		if _, err := w.w.Write(part); err != nil {
			w.err = fmt.Errorf("tensorboard: %w", err)
			return
		}
	}
}
