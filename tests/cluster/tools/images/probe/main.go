// Probe is the one program of the tests' smallest image: it does what a test asks of a pod.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: probe exit CODE | echo TEXT... | wait | lookup NAME SECONDS | dial HOST:PORT SECONDS | serve PORT SECONDS`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "exit" && len(rest) == 1:
		code, err := strconv.Atoi(rest[0])
		if err != nil {
			return err
		}
		os.Exit(code)
	case verb == "echo":
		fmt.Println(strings.Join(rest, " "))
	case verb == "wait" && len(rest) == 0:
		// As process 1 of a container it gets no default action for signals.
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
		<-end
	case verb == "lookup" && len(rest) == 2:
		return until(rest[1], func(ctx context.Context) error {
			addresses, err := net.DefaultResolver.LookupHost(ctx, rest[0])
			if err == nil {
				fmt.Println(strings.Join(addresses, " "))
			}
			return err
		})
	case verb == "dial" && len(rest) == 2:
		return until(rest[1], func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", rest[0])
			if err == nil {
				fmt.Println("connected to", connection.RemoteAddr())
				err = connection.Close()
			}
			return err
		})
	case verb == "serve" && len(rest) == 2:
		return serve(rest[0], rest[1])
	default:
		return errors.New(usage)
	}
	return nil
}

// serve takes one connection and is done.
func serve(port, seconds string) error {
	bound, err := strconv.Atoi(seconds)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(time.Duration(bound) * time.Second)); err != nil {
		return err
	}
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	fmt.Println("connected from", connection.RemoteAddr())
	return connection.Close()
}

// until tries again until it works or the given number of seconds is over: names and ports in a cluster come up late.
func until(seconds string, try func(context.Context) error) error {
	bound, err := strconv.Atoi(seconds)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(bound)*time.Second)
	defer cancel()
	for {
		if err = try(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %d s: %w", bound, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
