// Does what the Terraform provider's client does to one token, with Go's own HTTP client: the same
// headers, the same bodies, redirects followed. One JSON line a step, for tests/it/clients.rs.
//
// Arguments: the base URL, the credential, the steps. DTGATE_CA names the certificate to trust over TLS.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

type token struct {
	Name    string   `json:"name,omitempty"`
	Enabled bool     `json:"enabled"`
	Scopes  []string `json:"scopes"`
}

type answer struct {
	Step   string          `json:"step"`
	Status int             `json:"status"`
	Proto  string          `json:"proto"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body"`
	Text   string          `json:"text"`
}

type client struct {
	base       string
	credential string
	http       *http.Client
}

func (c *client) send(step, method, path string, body any) answer {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		check(err)
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, c.base+path, reader)
	check(err)
	request.Header.Set("User-Agent", "Dynatrace Terraform Provider/1.102.0 linux amd64")
	request.Header.Set("Authorization", "Api-Token "+c.credential)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	check(err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	check(err)
	// The path after redirects, if any was followed.
	got := answer{Step: step, Status: response.StatusCode, Proto: response.Proto, Path: response.Request.URL.Path}
	if json.Valid(content) {
		got.Body = content
	} else {
		got.Text = string(content)
	}
	line, err := json.Marshal(got)
	check(err)
	fmt.Println(string(line))
	return got
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	transport := &http.Transport{ForceAttemptHTTP2: true}
	if file := os.Getenv("DTGATE_CA"); file != "" {
		certificate, err := os.ReadFile(file)
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(certificate)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	c := &client{base: os.Args[1], credential: os.Args[2], http: &http.Client{Transport: transport}}
	const tokens = "/api/v2/apiTokens"
	switch os.Args[3] {
	case "life":
		wanted := token{Name: "payments-prod-tf", Enabled: false, Scopes: []string{"geographicRegions.read"}}
		created := c.send("create", "POST", tokens, wanted)
		var made struct{ ID string }
		check(json.Unmarshal(created.Body, &made))
		one := tokens + "/" + made.ID
		c.send("disable", "PUT", one, wanted)
		c.send("read", "GET", one, nil)
		c.send("update", "PUT", one, token{Name: "payments-prod-tf2", Enabled: false, Scopes: []string{"metrics.read"}})
		c.send("read again", "GET", one, nil)
		c.send("widen", "PUT", one, token{Name: "payments-prod-tf2", Scopes: []string{"WriteConfig"}})
		c.send("read after denial", "GET", one, nil)
		c.send("list", "GET", tokens+"?fields=%2Bscopes%2C%2BexpirationDate%2C%2BpersonalAccessToken&pageSize=10000&sort=-creationDate", nil)
		c.send("delete", "DELETE", one, nil)
		c.send("read after delete", "GET", one, nil)
	case "update":
		c.send("update", "PUT", tokens+"/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
			token{Name: "payments-prod-tf", Scopes: []string{"metrics.read"}})
	}
}
