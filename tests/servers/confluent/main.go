// A registry that speaks Confluent's API, for tests: franz-go's in-memory registry on a port of our choice.
//
//	confluent -listen 127.0.0.1:8081 [-authorization "Bearer token"]
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "where to listen")
	authorization := flag.String("authorization", "", "what the Authorization header must be; empty for anything")
	flag.Parse()

	var options []srfake.Option
	if *authorization != "" {
		options = append(options, srfake.WithAuth(*authorization))
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(http.Serve(listener, srfake.NewRegistry(options...).Handler()))
}
