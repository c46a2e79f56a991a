package catalog

import (
	"hash/fnv"
	"net/netip"
)

// Client stands for who asks for updates, so that a version that is held back from
// a share of the clients is always held back from the same ones. An update check says
// nothing that stays with a client, so it is made of the network address: clients behind
// one address get the same, and one that moves is drawn anew.
type Client uint64

// NewClient makes a Client of an address: a whole one of IPv4, the first 64 bits of IPv6,
// within which a host changes its address at will (RFC 8981). It is the same in every
// process. What is no address is a client too.
func NewClient(address netip.Addr) Client {
	if address = address.Unmap().WithZone(""); address.Is6() {
		network, _ := address.Prefix(64) // of an IPv6 address there is no error
		address = network.Addr()
	}
	h := fnv.New64a()
	h.Write(address.AsSlice())
	return Client(h.Sum64())
}

// Gets says whether v is offered to the client as an update. Who gets a version goes on
// getting it when it is held back from fewer, and is drawn anew for the next version.
func (c Client) Gets(v *Version) bool { return c.GetsOf(v.ID, v.HeldBack) }

// GetsOf is Gets for the version of an id that is held back from percent of the clients.
func (c Client) GetsOf(id int64, percent int) bool {
	return percent == 0 || c.draw(id) >= percent
}

// draw is the client's number from 0 to 99 for a version: as good as random, by the
// finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func (c Client) draw(id int64) int {
	x := uint64(c) ^ uint64(id)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % 100)
}

// ChooseFor is Choose among the versions that the client gets.
func ChooseFor(client Client, versions []*Version, app App, appVersion string, mode CompatMode) *Version {
	var open []*Version
	for _, v := range versions {
		if client.Gets(v) {
			open = append(open, v)
		}
	}
	return Choose(open, app, appVersion, mode)
}
