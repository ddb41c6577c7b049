// SPDX-License-Identifier: Apache-2.0

// node_config.go: the configuration file that a server is given.
package harness

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

var reservedKey = regexp.MustCompile(`^[a-z_]+(\.[a-z0-9_]+)+$`)

// config is the generated configuration file.
func (n *Node) config() string {
	if Peer() {
		return n.containerdConfig()
	}
	type kv struct{ k, v string }
	list := []kv{
		{"server.socket", strconv.Quote(n.Socket)},
		{"server.root_dir", strconv.Quote(n.Root)},
		{"server.run_dir", strconv.Quote(n.Run)},
		{"network.conf_dir", strconv.Quote(n.CNIConf)},
		{"network.bin_dirs", tomlList(append(append([]string{}, n.Opt.CNIBin...), "/usr/lib/cni", "/opt/cni/bin"))},
		{"network.cache_dir", strconv.Quote(n.Dir + "/cni-cache")},
		{"image.certs_dir", strconv.Quote(n.Dir + "/certs.d")},
		{"runtime.cgroup_root", strconv.Quote("/" + n.Cgroup + "/pods")},
	}
	// A confined child has no room for ThreadSanitizer's runtime; it has one thread anyway.
	if dir := os.Getenv("UNICRI_E2E_HELPERS"); dir != "" {
		list = append(list, kv{"image.unpack_program", strconv.Quote(dir + "/unicri-unpack")},
			kv{"image.mkdisk_program", strconv.Quote(dir + "/unicri-mkdisk")})
	}
	for k, v := range n.Opt.Set {
		if !reservedKey.MatchString(k) {
			n.T.Fatalf("bad key %q", k)
		}
		found := false
		for i := range list {
			if list[i].k == k {
				list[i].v, found = v, true
			}
		}
		if !found {
			list = append(list, kv{k, v})
		}
	}
	sections := map[string][]string{}
	var order []string
	for _, e := range list {
		i := strings.LastIndex(e.k, ".")
		if sections[e.k[:i]] == nil {
			order = append(order, e.k[:i])
		}
		sections[e.k[:i]] = append(sections[e.k[:i]], e.k[i+1:]+" = "+e.v)
	}
	var b strings.Builder
	for _, s := range order {
		fmt.Fprintf(&b, "[%s]\n%s\n\n", s, strings.Join(sections[s], "\n"))
	}
	b.WriteString(n.Opt.Config)
	return b.String()
}

func tomlList(l []string) string {
	var q []string
	for _, s := range l {
		q = append(q, strconv.Quote(s))
	}
	return "[" + strings.Join(q, ", ") + "]"
}

func (n *Node) containerdConfig() string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing"]
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = %q
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`, n.Root, n.Run, n.Socket, RegistryAddr, n.CNIConf, n.Dir+"/certs.d")
}
