// A small service over Redis, in Go, that answers two calls of riskshare's AlertEnrichmentService.
//
// Its keys, and what favours it, are those of the Python peer, `benches/peers/python/peer.py`. It goes further: it walks
// the bytes of requests and writes those of answers itself instead of making objects of them, which few would bother
// to do.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	none = 1
	// As many connections as calls that are in flight, so that none waits for another.
	connections = 32
)

var (
	texts   = map[byte]string{none: "None", 2: "Low", 3: "Medium", 4: "High"}
	unknown = []byte{none, 0}
)

type service struct{ pool *redis.Pool }

// alert is what an answer needs of a DlpAlert.
type alert struct {
	id     []byte
	people []string
}

// enrichAlert answers one alert with its actors in full.
func (s *service) enrichAlert(request []byte) ([]byte, error) {
	var asked alert
	err := eachField(request, func(number protowire.Number, value []byte) (err error) {
		if number == 2 {
			asked, err = readAlert(value)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	people := asked.people
	found, err := s.ask("EnrichAlert", people, "level:", "actor:")
	if err != nil {
		return nil, err
	}
	type pair struct{ level, actor []byte }
	actors, size := make([]pair, len(people)), 0
	for n, upn := range people {
		one := pair{known(found[n]), nil}
		if actor, ok := found[len(people)+n].([]byte); ok {
			one.actor = actor
		} else {
			one.actor = unknownActor(upn)
		}
		actors[n], size = one, size+len(one.actor)
	}
	sort.SliceStable(actors, func(i, j int) bool { return bytes.Compare(actors[i].level, actors[j].level) > 0 })
	severity := byte(none)
	if len(actors) > 0 {
		severity = actors[0].level[0]
	}
	body := column(make([]byte, 0, size+512), asked.id, severity, time.Now())
	if len(actors) > 0 {
		// An actor begins with its user.
		_, _, head := protowire.ConsumeTag(actors[0].actor)
		user, _ := protowire.ConsumeBytes(actors[0].actor[head:])
		body = field(body, 4, user)
	}
	for _, one := range actors {
		body = field(body, 5, one.actor)
	}
	return field(make([]byte, 0, len(body)+8), 1, body), nil
}

// batchEnrichAlerts answers the column of a page.
func (s *service) batchEnrichAlerts(request []byte) ([]byte, error) {
	var (
		page   []alert
		people []string
	)
	err := eachField(request, func(number protowire.Number, value []byte) error {
		if number != 2 {
			return nil
		}
		one, err := readAlert(value)
		page, people = append(page, one), append(people, one.people...)
		return err
	})
	if err != nil {
		return nil, err
	}
	levels, err := s.ask("BatchEnrichAlerts", people, "level:")
	if err != nil {
		return nil, err
	}
	now, answer := time.Now(), make([]byte, 0, 64*len(page))
	var one, result []byte
	for _, asked := range page {
		highest := unknown
		for range asked.people {
			if level := known(levels[0]); bytes.Compare(level, highest) > 0 {
				highest = level
			}
			levels = levels[1:]
		}
		one = column(one[:0], asked.id, highest[0], now)
		result = field(result[:0], 1, one)
		answer = field(answer, 1, result)
	}
	return answer, nil
}

// ask reads a key of each person for each prefix, and writes down who was asked about.
func (s *service) ask(call string, people []string, prefixes ...string) ([]interface{}, error) {
	connection := s.pool.Get()
	defer connection.Close()
	keys := make([]interface{}, 0, len(people)*len(prefixes))
	for _, prefix := range prefixes {
		for _, upn := range people {
			keys = append(keys, prefix+upn)
		}
	}
	if len(keys) > 0 {
		connection.Send("MGET", keys...)
	}
	connection.Send("XADD", "audit", "*", "call", call, "people", strings.Join(people, " "))
	if err := connection.Flush(); err != nil {
		return nil, err
	}
	var found []interface{}
	if len(keys) > 0 {
		var err error
		if found, err = redis.Values(connection.Receive()); err != nil {
			return nil, err
		}
	}
	_, err := connection.Receive()
	return found, err
}

// known returns a level, or that of somebody whom nobody knows.
func known(level interface{}) []byte {
	if level, ok := level.([]byte); ok {
		return level
	}
	return unknown
}

func readAlert(message []byte) (alert, error) {
	var read alert
	err := eachField(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			read.id = value
		case 6:
			return eachField(value, func(number protowire.Number, value []byte) error {
				if number == 3 {
					read.people = append(read.people, strings.ToLower(string(value)))
				}
				return nil
			})
		}
		return nil
	})
	return read, err
}

// eachField walks the fields of bytes of a message.
func eachField(message []byte, take func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		message = message[size:]
		size = protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			if err := take(number, value); err != nil {
				return err
			}
		}
		message = message[size:]
	}
	return nil
}

// column adds the fields of an EnrichedAlert that stand in each view.
func column(to []byte, id []byte, severity byte, now time.Time) []byte {
	to = field(to, 1, id)
	to = protowire.AppendVarint(protowire.AppendTag(to, 2, protowire.VarintType), uint64(severity))
	to = protowire.AppendString(protowire.AppendTag(to, 3, protowire.BytesType), texts[severity])
	to = timestamp(to, 6, now.Unix(), now.Nanosecond())
	const day = 86_400
	return timestamp(to, 7, now.Unix()-now.Unix()%day+day, 0)
}

func timestamp(to []byte, number protowire.Number, seconds int64, nanos int) []byte {
	var room [24]byte
	value := protowire.AppendVarint(protowire.AppendTag(room[:0], 1, protowire.VarintType), uint64(seconds))
	if nanos != 0 {
		value = protowire.AppendVarint(protowire.AppendTag(value, 2, protowire.VarintType), uint64(nanos))
	}
	return field(to, number, value)
}

func unknownActor(upn string) []byte {
	actor := field(nil, 1, field(nil, 3, []byte(upn)))
	actor = protowire.AppendVarint(protowire.AppendTag(actor, 2, protowire.VarintType), none)
	return field(actor, 3, []byte(texts[none]))
}

func field(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// raw leaves messages as the bytes that they are.
type raw struct{}

func (raw) Name() string                                   { return "proto" }
func (raw) Marshal(message interface{}) ([]byte, error)    { return message.([]byte), nil }
func (raw) Unmarshal(bytes []byte, into interface{}) error { *into.(*[]byte) = bytes; return nil }

func method(name string, answer func(*service, []byte) ([]byte, error)) grpc.MethodDesc {
	handler := func(of interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
		var request []byte
		if err := decode(&request); err != nil {
			return nil, err
		}
		return answer(of.(*service), request)
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

func main() {
	socket := os.Args[1]
	encoding.RegisterCodec(raw{})
	pool := &redis.Pool{
		MaxIdle: connections,
		Dial:    func() (redis.Conn, error) { return redis.Dial("unix", socket) },
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "riskshare.v1.AlertEnrichmentService",
		HandlerType: (*interface{})(nil),
		Methods: []grpc.MethodDesc{
			method("EnrichAlert", (*service).enrichAlert),
			method("BatchEnrichAlerts", (*service).batchEnrichAlerts),
		},
	}, &service{pool})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
