package store

// WithoutLocalData is what a server without local_infile makes of a Bulk.
func (b *Bulk) WithoutLocalData() { b.local = false }
