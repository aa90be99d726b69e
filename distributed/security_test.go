package distributed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// An authority signs certificates.
type authority struct {
	file string // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes a certificate for 127.0.0.1, signed by a, or by itself if a is nil. It returns the files of certificate and key.
func (a *authority) certify(t *testing.T, name string) (cert, key string, made *authority) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, private
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, &authority{cert, parsed, private}
}

// An operator signs accounts, as the tools of NATS do, and accounts sign users.
type operator struct {
	key      nkeys.KeyPair
	jwt      *jwt.OperatorClaims
	resolver *server.MemAccResolver
}

func public(t *testing.T, key nkeys.KeyPair, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	p, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	key, err := nkeys.CreateOperator()
	claims := jwt.NewOperatorClaims(public(t, key, err))
	o := &operator{key: key, jwt: claims, resolver: &server.MemAccResolver{}}
	claims.SystemAccount, _ = o.account(t, false)
	return o
}

// account makes an account, with JetStream or without.
func (o *operator) account(t *testing.T, stream bool) (name string, key nkeys.KeyPair) {
	t.Helper()
	key, err := nkeys.CreateAccount()
	name = public(t, key, err)
	claims := jwt.NewAccountClaims(name)
	if stream {
		claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	}
	token, err := claims.Encode(o.key)
	if err == nil {
		err = o.resolver.Store(name, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name, key
}

// user makes a user of an account and returns the file of the credentials.
func user(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	key, err := nkeys.CreateUser()
	token, err := jwt.NewUserClaims(public(t, key, err)).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A server with TLS, client certificates and users serves those who have what it asks for, and no others. A client does not speak to
// a server whose certificate is signed by somebody else.
func TestTLSAndCredentials(t *testing.T) {
	ca, _, signer := (*authority)(nil).certify(t, "authority")
	otherCA, _, _ := (*authority)(nil).certify(t, "stranger")
	serverCert, serverKey, _ := signer.certify(t, "server")
	cert, key, _ := signer.certify(t, "client")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(signer.cert)
	op := newOperator(t)
	_, account := op.account(t, true)
	stranger, err := nkeys.CreateAccount() // one that the operator did not sign
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
		TLS: true, TLSVerify: true, TLSTimeout: 60, AuthTimeout: 120, // on a slow machine
		TLSConfig:        &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
		TrustedOperators: []*jwt.OperatorClaims{op.jwt}, SystemAccount: op.jwt.SystemAccount, AccountResolver: op.resolver,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	good := Server{URL: "tls://" + s.Addr().String(), Creds: user(t, account), CA: ca, Cert: cert, Key: key}
	for name, c := range map[string]struct {
		change func(*Server)
		word   string
	}{
		"another authority": {func(s *Server) { s.CA = otherCA }, "certificate signed by unknown authority"},
		"no authority":      {func(s *Server) { s.CA = "" }, "certificate signed by unknown authority"},
		"no certificate":    {func(s *Server) { s.Cert, s.Key = "", "" }, ""},
		"no user":           {func(s *Server) { s.Creds = "" }, "Authorization Violation"},
		"a strange user":    {func(s *Server) { s.Creds = user(t, stranger) }, "Authorization Violation"},
		"no such file":      {func(s *Server) { s.Creds = filepath.Join(t.TempDir(), "none.creds") }, "none.creds"},
		"no TLS": {func(s *Server) {
			s.URL, s.CA, s.Cert, s.Key = strings.Replace(s.URL, "tls://", "nats://", 1), "", "", ""
		}, ""},
	} {
		bad := good
		c.change(&bad)
		conn, err := Connect(t.Context(), bad, "test")
		if err == nil {
			conn.Close()
			t.Errorf("%s: a connection", name)
		} else if !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := parse(t, trainings["backprop"])
	conn := func() *Conn {
		c, err := Connect(t.Context(), good, "test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c, err := Coordinate(t.Context(), conn(), Training{Recipe: r}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	hireOn(t, conn(), WorkerConfig{}, nil)
	got, err := train(t.Context(), r, c.Executor(r.Seed), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, alone(t, r))
}
