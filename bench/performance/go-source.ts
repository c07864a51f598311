/** The Go program: one session per process, as in its documentation. It obeys the same orders as actor.ts. */
export const goSource = `package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
)

type stand struct {
	Id, Client, Prefix, Election, Value string
	TtlSeconds                  int
}

type order struct {
	Number              int
	Do, Id, Prefix, Key string
	Count, AtOnce       int
	TtlSeconds          int
	Stands              []stand
}

func nowMs() float64 {
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Sec)*1e3 + float64(ts.Nsec)/1e6
}

var out sync.Mutex

func say(fields map[string]interface{}) {
	text, _ := json.Marshal(fields)
	out.Lock()
	fmt.Println(string(text))
	out.Unlock()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	client, err := clientv3.New(clientv3.Config{Endpoints: os.Args[1:]})
	must(err)
	ctx := context.Background()
	var mutex sync.Mutex
	sessions := map[string]*concurrency.Session{}
	// One for each client, as if each were a process.
	sessionFor := func(name string, ttl int) *concurrency.Session {
		mutex.Lock()
		defer mutex.Unlock()
		if sessions[name] == nil {
			session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
			must(err)
			sessions[name] = session
		}
		return sessions[name]
	}
	elections := map[string]*concurrency.Election{}
	leave := map[string]func(){}
	obey := func(o order) {
		answer := map[string]interface{}{"number": o.Number}
		switch o.Do {
		case "connect":
			_, err := client.Get(ctx, "anything")
			must(err)
		case "stand":
			for _, each := range o.Stands {
				s := each
				e := concurrency.NewElection(sessionFor(s.Client, s.TtlSeconds), s.Prefix+s.Election)
				waiting, stop := context.WithCancel(ctx)
				gone := make(chan bool)
				mutex.Lock()
				elections[s.Id] = e
				leave[s.Id] = func() { stop(); <-gone }
				mutex.Unlock()
				go func() {
					// One that waits gives up its key when its context ends.
					err := e.Campaign(waiting, s.Value)
					mutex.Lock()
					delete(leave, s.Id)
					mutex.Unlock()
					close(gone)
					if waiting.Err() != nil {
						return
					}
					must(err)
					say(map[string]interface{}{"led": s.Id, "atMs": nowMs()})
				}()
			}
		case "resign":
			mutex.Lock()
			e := elections[o.Id]
			stop := leave[o.Id]
			mutex.Unlock()
			at := nowMs()
			if stop != nil {
				stop()
			} else {
				must(e.Resign(ctx))
			}
			answer["atMs"] = at
		case "watch":
			events := client.Watch(ctx, o.Prefix, clientv3.WithPrefix())
			go func() {
				for message := range events {
					for _, event := range message.Events {
						if event.Type == clientv3.EventTypeDelete {
							say(map[string]interface{}{"deleted": string(event.Kv.Key), "atMs": nowMs()})
						}
					}
				}
			}()
		case "put":
			_, err := client.Put(ctx, o.Key, "10.0.0.7")
			must(err)
		case "delete":
			at := nowMs()
			_, err := client.Delete(ctx, o.Key)
			must(err)
			answer["atMs"] = at
		case "lead-many":
			session := sessionFor("", o.TtlSeconds)
			since := time.Now()
			var all sync.WaitGroup
			slots := make(chan struct{}, 256) // etcd refuses more than some thousands at once
			for i := 0; i < o.Count; i++ {
				all.Add(1)
				e := concurrency.NewElection(session, fmt.Sprintf("%s%d", o.Prefix, i))
				slots <- struct{}{}
				go func() {
					must(e.Campaign(ctx, "10.0.0.7"))
					<-slots
					all.Done()
				}()
			}
			all.Wait()
			answer["ms"] = float64(time.Since(since)) / 1e6
		}
		say(answer)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	for lines.Scan() {
		var o order
		must(json.Unmarshal(lines.Bytes(), &o))
		go obey(o)
	}
}
`;
