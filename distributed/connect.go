package distributed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Server says how to reach a server of NATS.
type Server struct {
	// URL is its address, such as nats://host:4222 or tls://host:4222; several are separated by commas.
	URL string
	// Creds is the file of a user's credentials, as NATS has them. CA is a file of certificates in PEM that the server's must
	// descend from; Cert and Key are the client's own. "" means none.
	Creds, CA, Cert, Key string
}

// A Conn is a connection to a server with JetStream. It reconnects by itself, as long as it takes.
type Conn struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// Connect connects to a server. The error says so if there is none, or if it has no JetStream. purpose names the connection on
// the server.
func Connect(ctx context.Context, s Server, purpose string) (*Conn, error) {
	options := []nats.Option{
		nats.Name("metaopt " + purpose), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond), nats.Timeout(patience), nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // each request has its own error
	}
	if s.Creds != "" {
		options = append(options, nats.UserCredentials(s.Creds))
	}
	if s.CA != "" {
		options = append(options, nats.RootCAs(s.CA))
	}
	if s.Cert != "" || s.Key != "" {
		options = append(options, nats.ClientCert(s.Cert, s.Key))
	}
	nc, err := nats.Connect(s.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("distributed: no connection to the server of NATS at %s: %w", s.URL, err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err == nil {
		var requested context.CancelFunc
		ctx, requested = context.WithTimeout(ctx, patience)
		defer requested()
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("distributed: the server of NATS at %s: %w; it must run with JetStream, as nats-server --jetstream does", s.URL, err)
	}
	return &Conn{nc: nc, js: js}, nil
}

// Close ends the connection.
func (c *Conn) Close() { c.nc.Close() }

// The names of what is on the server.
const (
	helloSubject = "metaopt.hello" // a coordinator asks who is there
	jobSubject   = "metaopt.job"   // a coordinator says that its job goes on
	aliveSubject = "metaopt.alive" // a worker says what it does

	jobKey = "job" // of the announcement
)

func workStream(job string) string             { return "metaopt-" + job + "-work" }
func answerStream(job string) string           { return "metaopt-" + job + "-answers" }
func bucketOf(job string) string               { return "metaopt-" + job }
func leaseBucket(job string) string            { return "metaopt-" + job + "-lease" }
func workSubject(job, worker string) string    { return "metaopt." + job + ".work." + worker }
func answerSubject(job, session string) string { return "metaopt." + job + ".answer." + session }
func pingSubject(worker string) string         { return "metaopt.worker." + worker }

// bucket opens a bucket. It makes it if it is not there.
func (c *Conn) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := c.js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = c.js.CreateOrUpdateKeyValue(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("distributed: the bucket %s: %w", cfg.Bucket, err)
	}
	return kv, nil
}
