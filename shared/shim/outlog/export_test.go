package outlog

// NewWriterOn lets a test put its own storage, a failing one for instance, under a log.
func NewWriterOn(size int64, open func(i int, half int64) (Storage, error)) (*Writer, error) {
	return newWriter(size, open)
}

// NewMemory is a segment in memory.
func NewMemory() Storage { return &memory{} }

// HeaderSize is where the records of a segment begin.
const HeaderSize = headerSize
