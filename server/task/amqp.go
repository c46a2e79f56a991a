package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streadway/amqp"

	"addons/server/catalog"
	"addons/server/store"
)

// This file is the only one that knows the AMQP client, github.com/streadway/amqp,
// which nobody maintains any more. Its ways, and what is done about them:
//
//   - One notification that nobody reads stops the whole connection, heartbeats
//     included. So every Notify channel has room for all that can come, is
//     registered before first use and read until it is closed.
//   - A broker that is short of memory takes messages without ever confirming, and
//     Publish and Close may hang. So every confirm has its own deadline, every
//     write one of the socket, and a connection that does not close is cut.
//   - It doesn't reconnect. So each connection has a supervisor (keep).
//   - A Channel is not to be shared by goroutines. So one goroutine owns each, and
//     everybody else talks to that.

const (
	producing = "publish" // the two connections' names: a broker that takes
	consuming = "consume" // nothing any more still gives

	heartbeat = 10 * time.Second
	dialTime  = 10 * time.Second // of the TCP connection, and again of the handshake
	writeTime = 10 * time.Second
	closeTime = 2 * time.Second
	setupTime = 10 * time.Second
	// frozen is how long a broker that isn't blocked may owe a confirm before the connection is cut.
	frozen = 10 * time.Second
	// window is how many messages may be unconfirmed at a time.
	window = 256
	// deliveryLimit has the broker itself put a message aside, should no worker
	// live long enough to do it (see maxLost).
	deliveryLimit = 2 * maxLost
	// replayDepth is how many dead letters are looked through for one.
	replayDepth = 10000
)

// checkAddress says whether the client understands the URL.
func checkAddress(address string) error {
	if _, err := amqp.ParseURI(address); err != nil {
		return errors.New("task: amqp: the address is not of the form amqp://user:password@host:port/vhost")
	}
	return nil
}

// wire is one queue, and its queue of dead letters, at a RabbitMQ.
type wire struct {
	address string
	queue   string
	meters  brokerMeters
	log     *slog.Logger

	requests chan *request
	running  atomic.Int64 // jobs in this process's hands
	newest   atomic.Int64 // when the job delivered last was due, Unix nanoseconds
	emptied  atomic.Int64 // when the queue was last seen empty

	declaring sync.Mutex
	browsing  sync.Mutex

	tried    chan struct{} // closed when the first attempt to connect for producing has ended, one way or the other
	hasTried func()

	mu       sync.Mutex
	sessions map[string]*session // by connection; none while it is down
}

func newWire(address, queue string, m brokerMeters, log *slog.Logger) *wire {
	for _, c := range []string{producing, consuming} {
		m.connected.With(c).Set(0)
		m.blocked.With(c).Set(0)
		m.reconnects.With(c)
	}
	m.redelivered.With(queue)
	tried := make(chan struct{})
	return &wire{
		address: address, queue: queue, meters: m, log: log, requests: make(chan *request), sessions: map[string]*session{},
		tried: tried, hasTried: sync.OnceFunc(func() { close(tried) }),
	}
}

// deadQueue is the name of the queue of dead letters.
func (w *wire) deadQueue() string { return w.queue + ".dead" }

// session is one connection while it lives.
type session struct {
	conn    *amqp.Connection
	socket  net.Conn
	lost    chan struct{} // closed when the connection is gone
	blocked atomic.Bool
	asides  sync.WaitGroup
}

// keep has serve run on one connection after the other until ctx ends.
func (w *wire) keep(ctx context.Context, name string, serve func(context.Context, *session, *amqp.Channel) error) {
	between := backoff{base: 200 * time.Millisecond, longest: 15 * time.Second}
	for attempt := 1; ; attempt++ {
		begun := time.Now()
		err := w.serve(ctx, name, serve)
		w.ended(name)
		if ctx.Err() != nil {
			return
		}
		w.meters.reconnects.With(name).Inc()
		if time.Since(begun) > 10*time.Second {
			attempt = 1
		}
		wait := between.after(attempt)
		w.log.Warn("task: no connection to the broker", "connection", name, "wait", wait, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// ended notes that an attempt to connect has.
func (w *wire) ended(name string) {
	if name == producing {
		w.hasTried()
	}
}

// serve connects, sets up the queues, and runs serve until it returns.
func (w *wire) serve(ctx context.Context, name string, serve func(context.Context, *session, *amqp.Channel) error) error {
	s, err := w.dial(ctx, name)
	if err != nil {
		return err
	}
	defer s.close()
	var ch *amqp.Channel
	err = s.within(setupTime, func() (err error) {
		if ch, err = s.conn.Channel(); err != nil {
			return err
		}
		return w.declare(ch)
	})
	if err != nil {
		return err
	}
	w.meters.connected.With(name).Set(1)
	w.mu.Lock()
	w.sessions[name] = s
	w.mu.Unlock()
	w.ended(name)
	defer func() {
		w.meters.connected.With(name).Set(0)
		w.mu.Lock()
		delete(w.sessions, name)
		w.mu.Unlock()
	}()
	return serve(ctx, s, ch)
}

// dial makes a connection whose socket we keep, because closing that is the only
// thing that always ends what the client waits for.
func (w *wire) dial(ctx context.Context, name string) (*session, error) {
	s := &session{lost: make(chan struct{})}
	var stop func() bool
	conn, err := amqp.DialConfig(w.address, amqp.Config{
		Heartbeat:  heartbeat,
		Locale:     "en_US",
		Properties: amqp.Table{"product": "addons", "connection_name": "addons " + name},
		Dial: func(network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { c.Close() })
			s.socket = hasty{c}
			// Of the handshake; the client takes it off when that is over.
			return s.socket, c.SetDeadline(time.Now().Add(dialTime))
		},
	})
	if stop != nil {
		stop()
	}
	if err != nil {
		if s.socket != nil {
			s.socket.Close()
		}
		return nil, err
	}
	s.conn = conn
	gone := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	go s.watch(gone, blocked, func(active bool) { w.block(name, s, active) })
	return s, nil
}

// hasty is a socket on which no write lasts for ever.
type hasty struct{ net.Conn }

func (h hasty) Write(b []byte) (int, error) {
	if err := h.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return h.Conn.Write(b)
}

// watch reads the connection's notifications until it is gone, which closes them.
func (s *session) watch(gone <-chan *amqp.Error, blocked <-chan amqp.Blocking, block func(bool)) {
	for b := range blocked {
		block(b.Active)
	}
	<-gone
	block(false)
	close(s.lost)
}

func (w *wire) block(name string, s *session, active bool) {
	if s.blocked.Swap(active) == active {
		return
	}
	gauge := w.meters.blocked.With(name)
	if active {
		gauge.Set(1)
		w.log.Warn("task: the broker takes nothing: it is short of memory or disk", "connection", name)
		return
	}
	gauge.Set(0)
}

// close ends the connection politely, or else by its socket.
func (s *session) close() {
	cut := time.AfterFunc(closeTime, func() { s.socket.Close() })
	defer cut.Stop()
	s.conn.Close()
	<-s.lost
	s.asides.Wait()
}

// within runs a call that waits for the broker, and cuts the connection if that takes too long.
func (s *session) within(limit time.Duration, call func() error) error {
	cut := time.AfterFunc(limit, func() { s.socket.Close() })
	defer cut.Stop()
	return call()
}

// aside runs call with a channel of its own, which may break without harm to others.
func (s *session) aside(ctx context.Context, call func(*amqp.Channel) error) error {
	result := make(chan error, 1)
	s.asides.Go(func() {
		ch, err := s.conn.Channel()
		if err == nil {
			err = call(ch)
			ch.Close()
		}
		result <- err
	})
	select {
	case err := <-result:
		return err
	case <-s.lost:
		return errDown
	case <-ctx.Done():
		return ctx.Err() // the goroutine ends with the connection at the latest
	}
}

// declare makes the queues. They are quorum queues because those count how often
// a message was delivered, even to workers that died. RabbitMQ (3.10) may answer
// with an internal error while another connection is making the same one: keep
// tries again, and our own two connections take turns.
func (w *wire) declare(ch *amqp.Channel) error {
	w.declaring.Lock()
	defer w.declaring.Unlock()
	if _, err := ch.QueueDeclare(w.deadQueue(), true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return fmt.Errorf("queue %s: %w", w.deadQueue(), err)
	}
	_, err := ch.QueueDeclare(w.queue, true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum",
		"x-delivery-limit":          int32(deliveryLimit),
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": w.deadQueue(),
	})
	if err != nil {
		return fmt.Errorf("queue %s: %w", w.queue, err)
	}
	return nil
}

// session returns the connection of the name, nil while it is down.
func (w *wire) session(name string) *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions[name]
}

// open says whether the broker takes messages.
func (w *wire) open() bool {
	s := w.session(producing)
	return s != nil && !s.blocked.Load()
}

// request is one message on its way to the broker.
type request struct {
	queue    string
	message  amqp.Publishing
	begun    time.Time
	returned bool
	answer   chan error // cap 1
}

// What becomes of a message: label values of addons_task_broker_publish_seconds.
var (
	errRefused     = errors.New("refused by the broker")
	errReturned    = errors.New("returned by the broker: no such queue")
	errUnconfirmed = errors.New("not confirmed by the broker")
)

// publish puts a job into a queue; reason is for dead letters. nil means that the
// broker has it on disk; any other answer wraps catalog.ErrUnavailable, and the
// broker may or may not have it.
func (w *wire) publish(ctx context.Context, queue string, job store.Job, reason string) error {
	begun := time.Now()
	err := w.ask(ctx, &request{queue: queue, message: publication(job, reason), begun: begun, answer: make(chan error, 1)})
	out := "confirmed"
	switch {
	case err == nil:
	case errors.Is(err, errRefused):
		out = "refused"
	case errors.Is(err, errReturned):
		out = "returned"
	case errors.Is(err, errDown):
		return err // it was not even tried
	default:
		out = "unconfirmed"
	}
	w.meters.publishes.With(out).Observe(ctx, time.Since(begun))
	if err != nil {
		return fmt.Errorf("%w: %w", catalog.ErrUnavailable, err)
	}
	return nil
}

// ask hands r to the publishing goroutine and waits for the answer.
func (w *wire) ask(ctx context.Context, r *request) error {
	s := w.session(producing)
	if s == nil || s.blocked.Load() {
		return errDown
	}
	select {
	case w.requests <- r:
	case <-s.lost:
		return errDown
	case <-ctx.Done():
		return errDown
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errUnconfirmed, ctx.Err())
	}
}

// keepPublishing serves requests until ctx ends. opened is called when the broker can be used again.
func (w *wire) keepPublishing(ctx context.Context, opened func()) {
	w.keep(ctx, producing, func(ctx context.Context, s *session, ch *amqp.Channel) error {
		p := &publisher{wire: w, session: s, ch: ch, pending: map[uint64]*request{}}
		defer p.abandon()
		if err := s.within(setupTime, func() error { return ch.Confirm(false) }); err != nil {
			return err
		}
		p.confirms = ch.NotifyPublish(make(chan amqp.Confirmation, window))
		p.returns = ch.NotifyReturn(make(chan amqp.Return, window))
		p.closed = ch.NotifyClose(make(chan *amqp.Error, 1))
		opened()
		return p.run(ctx)
	})
}

// publisher owns the channel on which messages go out.
type publisher struct {
	wire     *wire
	session  *session
	ch       *amqp.Channel
	confirms <-chan amqp.Confirmation
	returns  <-chan amqp.Return
	closed   <-chan *amqp.Error
	tag      uint64
	pending  map[uint64]*request // by delivery tag; window at the most
}

func (p *publisher) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		requests := p.wire.requests
		if len(p.pending) >= window {
			requests = nil
		}
		select {
		case r := <-requests:
			if err := p.publish(r); err != nil {
				return err
			}
		case c, ok := <-p.confirms:
			if !ok {
				return lossOf(p.closed)
			}
			if err := p.confirmed(c); err != nil {
				return err
			}
		case r, ok := <-p.returns:
			if ok {
				p.back(r)
			} else {
				p.returns = nil // the channel is going: confirms will say so
			}
		case <-tick.C:
			if p.late() {
				return errors.New("the broker confirms nothing")
			}
		case <-p.session.lost:
			return lossOf(p.closed)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *publisher) publish(r *request) error {
	p.tag++
	p.pending[p.tag] = r
	// Mandatory: without it a message for a queue that is gone would be confirmed and lost.
	return p.ch.Publish("", r.queue, true, false, r.message)
}

// confirmed answers a request. A message that came back is confirmed as well;
// the client tells us of the return first, but on another Go channel.
func (p *publisher) confirmed(c amqp.Confirmation) error {
	for more := true; more; {
		select {
		case r, ok := <-p.returns:
			if more = ok; ok {
				p.back(r)
			}
		default:
			more = false
		}
	}
	r := p.pending[c.DeliveryTag]
	delete(p.pending, c.DeliveryTag)
	switch {
	case r == nil:
	case r.returned:
		r.answer <- errReturned
		return errReturned // connecting anew makes the queue again
	case !c.Ack:
		r.answer <- errRefused
	default:
		r.answer <- nil
	}
	return nil
}

func (p *publisher) back(ret amqp.Return) {
	for _, r := range p.pending {
		if r.message.MessageId == ret.MessageId {
			r.returned = true
		}
	}
}

// late says whether the broker owes a confirm that it should have given long ago.
func (p *publisher) late() bool {
	if p.session.blocked.Load() {
		return false
	}
	for _, r := range p.pending {
		if time.Since(r.begun) > frozen {
			return true
		}
	}
	return false
}

// abandon tells those who wait that nobody knows.
func (p *publisher) abandon() {
	for _, r := range p.pending {
		r.answer <- errUnconfirmed
	}
}

// lossOf is why a channel or connection ended.
func lossOf(closed <-chan *amqp.Error) error {
	select {
	case err := <-closed:
		if err != nil {
			return err
		}
	default:
	}
	return errors.New("the connection is lost")
}

// verdict is what becomes of a delivered message.
type verdict int

const (
	acknowledge verdict = iota
	giveBack            // to be delivered again
	refuse              // to the dead letters
)

// message is a job that the broker delivered.
type message struct {
	job    store.Job
	lost   int           // how often it was delivered before without an answer
	settle func(verdict) // never waits; a second call has no effect
}

// settlement is a verdict on its way to the goroutine that owns the channel.
type settlement struct {
	tag     uint64
	verdict verdict
}

// keepConsuming has run called for each message, as many at a time as the pool
// has slots, until ctx ends; it returns after the last of them.
func (w *wire) keepConsuming(ctx context.Context, p *pool, run func(message)) {
	var tasks sync.WaitGroup
	// The connection outlives ctx, so that what was begun can still be acknowledged.
	w.keep(ctx, consuming, func(ctx context.Context, s *session, ch *amqp.Channel) error {
		c := &consumer{wire: w, session: s, ch: ch, pool: p, tasks: &tasks, run: run, settlements: make(chan settlement, p.size())}
		return c.consume(ctx)
	})
	tasks.Wait()
}

// consumer owns the channel on which messages come in.
type consumer struct {
	wire        *wire
	session     *session
	ch          *amqp.Channel
	pool        *pool
	tasks       *sync.WaitGroup
	run         func(message)
	settlements chan settlement // cap: the prefetch, so that no worker waits
	inHand      int             // delivered and not settled; the prefetch at the most
}

func (c *consumer) consume(ctx context.Context) error {
	closed := c.ch.NotifyClose(make(chan *amqp.Error, 1))
	canceled := c.ch.NotifyCancel(make(chan string, 1))
	var deliveries <-chan amqp.Delivery
	err := c.session.within(setupTime, func() (err error) {
		if err = c.ch.Qos(c.pool.size(), 0, false); err != nil {
			return err
		}
		deliveries, err = c.ch.Consume(c.wire.queue, "worker", false, false, false, false, nil)
		return err
	})
	if err != nil {
		return err
	}
	stop, stopping := ctx.Done(), false
	for !stopping || c.inHand > 0 {
		select {
		case d, ok := <-deliveries:
			if !ok {
				deliveries = nil
				continue
			}
			c.begin(ctx, d)
		case s := <-c.settlements:
			if err := c.settle(s); err != nil {
				return err
			}
		case <-stop:
			stop, stopping = nil, true
			// Not waiting for the answer: what is still on its way comes back to the
			// queue when the connection ends.
			if err := c.ch.Cancel("worker", true); err != nil {
				return err
			}
		case <-closed:
			return lossOf(closed)
		case _, ok := <-canceled:
			if ok {
				return errors.New("the queue was deleted")
			}
			canceled = nil
		case <-c.session.lost:
			return lossOf(closed)
		}
	}
	return nil
}

// begin has the message worked on when there is a slot: tasks of a connection
// that was lost may still hold some.
func (c *consumer) begin(ctx context.Context, d amqp.Delivery) {
	c.inHand++
	c.wire.running.Add(1)
	m := c.message(d)
	c.tasks.Go(func() {
		defer c.wire.running.Add(-1)
		if !c.pool.acquire(ctx) {
			m.settle(giveBack)
			return
		}
		defer c.pool.release()
		select {
		case <-c.session.lost: // somebody else has it by now
		default:
			c.run(m)
		}
	})
}

func (c *consumer) message(d amqp.Delivery) message {
	var once sync.Once
	m := message{job: jobOf(d), lost: number[int](d.Headers, "x-delivery-count")}
	m.settle = func(v verdict) { once.Do(func() { c.settlements <- settlement{d.DeliveryTag, v} }) }
	if d.Redelivered {
		c.wire.meters.redelivered.With(c.wire.queue).Inc()
	}
	c.wire.newest.Store(m.job.NotBefore.UnixNano())
	return m
}

func (c *consumer) settle(s settlement) error {
	c.inHand--
	switch s.verdict {
	case acknowledge:
		return c.ch.Ack(s.tag, false)
	default:
		return c.ch.Nack(s.tag, false, s.verdict == giveBack)
	}
}

// stats counts what is in the queues.
func (w *wire) stats(ctx context.Context) (Stats, error) {
	s := w.session(consuming)
	if s == nil {
		s = w.session(producing)
	}
	if s == nil {
		return Stats{}, errDown
	}
	limited, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	st := Stats{Leased: int(w.running.Load())}
	err := s.aside(limited, func(ch *amqp.Channel) error {
		q, err := ch.QueueInspect(w.queue)
		if err != nil {
			return err
		}
		dead, err := ch.QueueInspect(w.deadQueue())
		st.Waiting, st.Dead = q.Messages, dead.Messages
		return err
	})
	switch {
	case err == nil:
	case limited.Err() != nil && ctx.Err() == nil:
		return Stats{}, fmt.Errorf("%w: no answer within %v", errDown, moveTime)
	default:
		return Stats{}, err
	}
	st.Oldest = w.oldest(st.Waiting)
	return st, nil
}

// oldest bounds when the first message in the queue was due: after the one that
// was delivered last, and after the queue was last empty. Zero if nothing waits.
func (w *wire) oldest(waiting int) time.Time {
	if waiting == 0 {
		w.emptied.Store(time.Now().UnixNano())
		return time.Time{}
	}
	n := max(w.newest.Load(), w.emptied.Load())
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// replay moves a dead letter back to the queue; false if there is none of the id
// among the first replayDepth.
func (w *wire) replay(ctx context.Context, id string) (found bool, err error) {
	err = w.browse(ctx, replayDepth, func(d amqp.Delivery) (more bool, err error) {
		if d.MessageId != id {
			return true, nil
		}
		job := jobOf(d)
		job.Attempt, job.NotBefore = 0, time.Now().UTC()
		if err := w.publish(ctx, w.queue, job, ""); err != nil {
			return false, err
		}
		found = true
		return false, d.Ack(false)
	})
	if err != nil {
		return false, err // found may still be written to
	}
	return found, nil
}

// letters reads dead letters and leaves them where they are.
func (w *wire) letters(ctx context.Context, limit int) (jobs []store.Job, err error) {
	err = w.browse(ctx, limit, func(d amqp.Delivery) (bool, error) {
		jobs = append(jobs, jobOf(d))
		return true, nil
	})
	if err != nil {
		return nil, err // jobs may still be written to
	}
	return jobs, nil
}

// browse calls look for dead letters until it wants no more. Those that it didn't
// acknowledge are back when browse returns.
func (w *wire) browse(ctx context.Context, limit int, look func(amqp.Delivery) (more bool, err error)) error {
	w.browsing.Lock() // two would hide the letters from each other
	defer w.browsing.Unlock()
	s := w.session(producing)
	if s == nil || s.blocked.Load() {
		return errDown
	}
	return s.aside(ctx, func(ch *amqp.Channel) error {
		for range limit {
			d, ok, err := ch.Get(w.deadQueue(), false)
			if err != nil || !ok {
				return err
			}
			if more, err := look(d); err != nil || !more {
				return err
			}
		}
		return nil
	})
}

// publication is a job as a message. Times are microseconds, as in the database:
// AMQP's own are whole seconds.
func publication(job store.Job, reason string) amqp.Publishing {
	headers := amqp.Table{
		"attempt": int32(job.Attempt),
		"created": job.Created.UnixMicro(),
		"due":     job.NotBefore.UnixMicro(),
		"trace":   job.Trace,
	}
	if reason != "" {
		headers["reason"] = reason
	}
	return amqp.Publishing{
		AppId: "addons", ContentType: "application/json", DeliveryMode: amqp.Persistent,
		MessageId: job.ID, Type: job.Kind, Timestamp: job.Created, Headers: headers, Body: job.Payload,
	}
}

// jobOf reads a message, whoever wrote it.
func jobOf(d amqp.Delivery) store.Job {
	trace, _ := d.Headers["trace"].(string)
	reason, _ := d.Headers["reason"].(string)
	job := store.Job{
		ID: d.MessageId, Kind: d.Type, Payload: d.Body, Trace: trace, Reason: reason,
		Attempt:   number[int](d.Headers, "attempt"),
		Created:   time.UnixMicro(number[int64](d.Headers, "created")).UTC(),
		NotBefore: time.UnixMicro(number[int64](d.Headers, "due")).UTC(),
	}
	if job.ID == "" {
		job.ID = newID()
	}
	return job
}

// number reads a header of whichever width.
func number[N int | int64](headers amqp.Table, name string) N {
	switch n := headers[name].(type) {
	case int32:
		return N(n)
	case int64:
		return N(n)
	}
	return 0
}
