package catalog_test

import (
	"fmt"
	"net/netip"
	"testing"

	"addons/server/catalog"
)

func client(address string) catalog.Client { return catalog.NewClient(netip.MustParseAddr(address)) }

func TestAVersionIsHeldBackFromItsShareOfClientsAndAlwaysTheSame(t *testing.T) {
	const clients = 20_000
	for _, percent := range []int{0, 1, 10, 50, 99, 100} {
		v := &catalog.Version{ID: 7, HeldBack: percent}
		held := 0
		for i := range clients {
			c := client(fmt.Sprintf("10.%d.%d.9", i/250, i%250))
			if !c.Gets(v) {
				held++
			}
			if fewer := (&catalog.Version{ID: 7, HeldBack: percent / 2}); c.Gets(v) && !c.Gets(fewer) {
				t.Fatalf("client %d gets a version that %d %% don't, and not when %d %% don't", i, percent, fewer.HeldBack)
			}
		}
		if got := 100 * float64(held) / clients; got < float64(percent)-1.2 || got > float64(percent)+1.2 {
			t.Errorf("held back from %.2f %% of the clients, want %d", got, percent)
		}
	}
}

func TestEachVersionDrawsAnew(t *testing.T) {
	same := 0
	for i := range 1000 {
		c := client(fmt.Sprintf("192.0.%d.%d", i/250, i%250))
		if c.GetsOf(1, 50) == c.GetsOf(2, 50) {
			same++
		}
	}
	if same < 420 || same > 580 {
		t.Errorf("%d of 1000 clients are drawn the same for two versions, want half", same)
	}
}

func TestAClientIsAnAddressOfIPv4AndANetworkOfIPv6(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:1:2:3::1", "2001:db8:1:2:4::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if same := client(c.a) == client(c.b); same != c.same {
			t.Errorf("%s and %s are one client: %v", c.a, c.b, same)
		}
	}
	if catalog.NewClient(netip.Addr{}) == 0 {
		t.Error("who has no address is no client")
	}
}

func TestWhoDoesNotGetAVersionGetsTheNextOlder(t *testing.T) {
	offered := func(id int64, number string, held int) *catalog.Version {
		return &catalog.Version{
			ID: id, Number: number, HeldBack: held, Channel: catalog.Listed, File: catalog.File{Status: catalog.Public},
			Compatibility: []catalog.Compat{{App: "firefox", Min: "100", Max: "*"}},
		}
	}
	versions := []*catalog.Version{offered(2, "2.0", 100), offered(1, "1.0", 0)}
	if v := catalog.ChooseFor(client("192.0.2.1"), versions, catalog.Firefox, "120", catalog.ModeNormal); v == nil || v.Number != "1.0" {
		t.Errorf("chose %+v, want 1.0", v)
	}
	// The older one is not hidden by one that not everybody gets.
	if kept := catalog.Choosable(versions, catalog.Firefox); len(kept) != 2 {
		t.Errorf("%d can be chosen, want both", len(kept))
	}
}
