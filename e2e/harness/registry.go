// SPDX-License-Identifier: Apache-2.0

// registry.go: Debian's docker-registry inside a node's namespace, and pushing to it.
package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Registry is a running docker-registry.
type Registry struct {
	NS       *NetNS
	Addr     string // "127.0.0.1:5000"
	Storage  string
	user, pw string
	cmd      *exec.Cmd
}

// StartRegistry starts one in ns at addr, with its data in storage and its config and log in dir. With a user it
// asks for basic authentication.
func StartRegistry(ns *NetNS, addr, storage, dir, user, password string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\nhttp:\n  addr: %s\n", storage, addr)
	if user != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
			return nil, err
		}
		conf += fmt.Sprintf("auth:\n  htpasswd:\n    realm: test\n    path: %s\n", file)
	}
	name := filepath.Join(dir, "registry-"+strings.ReplaceAll(addr, ":", "-")+".yml")
	if err := os.WriteFile(name, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(strings.TrimSuffix(name, ".yml") + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r := &Registry{NS: ns, Addr: addr, Storage: storage, user: user, pw: password}
	r.cmd = exec.Command("docker-registry", "serve", name)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.Env = []string{"PATH=/usr/bin:/bin", "OTEL_TRACES_EXPORTER=none"}
	if err := ns.Start(r.cmd); err != nil {
		return nil, fmt.Errorf("docker-registry: %w", err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := ns.Dial(context.Background(), "tcp", addr)
		if err == nil {
			c.Close()
			return r, nil
		}
		if time.Now().After(end) {
			r.Close()
			return nil, fmt.Errorf("docker-registry does not listen at %s, see %s", addr, log.Name())
		}
	}
}

// Close ends it.
func (r *Registry) Close() {
	r.cmd.Process.Signal(syscall.SIGKILL)
	r.cmd.Wait()
}

// HTTP is a client that dials inside the namespace.
func (n *NetNS) HTTP(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
}

// Push stores an image as repo:tag.
func (r *Registry) Push(repo, tag string, img *Image) error {
	c := r.NS.HTTP(30 * time.Second)
	base := "http://" + r.Addr + "/v2/" + repo
	for digest, blob := range img.Blobs {
		resp, err := r.do(c, "POST", base+"/blobs/uploads/", nil, "")
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("start upload to %s: %s", repo, resp.Status)
		}
		loc := resp.Header.Get("Location")
		sep := "?"
		if strings.Contains(loc, "?") {
			sep = "&"
		}
		resp, err = r.do(c, "PUT", loc+sep+"digest="+digest, blob, "application/octet-stream")
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("push blob %s to %s: %s", digest, repo, resp.Status)
		}
	}
	return r.PushManifest(repo, tag, img.Type, img.Manifest)
}

// PushManifest stores a manifest or index whose blobs are there already.
func (r *Registry) PushManifest(repo, tag, mediaType string, body []byte) error {
	resp, err := r.do(r.NS.HTTP(30*time.Second), "PUT", "http://"+r.Addr+"/v2/"+repo+"/manifests/"+tag, body, mediaType)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("push manifest %s:%s: %s", repo, tag, resp.Status)
	}
	return nil
}

func (r *Registry) do(c *http.Client, method, url string, body []byte, mediaType string) (*http.Response, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.pw)
	}
	resp, err := c.Do(req)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return resp, err
}
