package relay

func (l listening) tcp(address string) (listener, error) {
	conn, err := l.inherited.Listener("tcp", address)
	if err != nil {
		return nil, listenError("tcp", address, err)
	}
	return l.stream("tcp", address, conn.(streamSocket)), nil
}
