package relay

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapPage returns a page, whose memory the kernel gives as it is written to; nil if
// there is none.
func mapPage() *page {
	memory, err := unix.MmapPtr(-1, 0, nil, pageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil
	}
	return (*page)(memory)
}

// drop gives the kernel the page's memory back, until it is written to again.
func (p *page) drop() {
	unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(p)), pageBytes), unix.MADV_DONTNEED) // if it refuses, the memory stays
}

// unmapPages ends the pages for good.
func unmapPages(pages []*page) {
	for _, p := range pages {
		if p != nil {
			unix.MunmapPtr(unsafe.Pointer(p), pageBytes)
		}
	}
}
