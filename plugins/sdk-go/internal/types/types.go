// Package wit_types has the shapes that the generated bindings use for WIT's own: option, result and tuple.
package wit_types

// What an option holds.
const (
	OptionNone = 0
	OptionSome = 1
)

// Option is a value that may be absent.
type Option[T any] struct {
	some  bool
	value T
}

// Some is a value that is there.
func Some[T any](value T) Option[T] { return Option[T]{true, value} }

// None is one that is not.
func None[T any]() Option[T] { return Option[T]{} }

// Tag tells them apart.
func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// Some is the value, where there is one.
func (o Option[T]) Some() T {
	if !o.some {
		panic("an option without a value was asked for it")
	}
	return o.value
}

// What a result holds.
const (
	ResultOk  = 0
	ResultErr = 1
)

// Result is a value, or why there is none.
type Result[T, U any] struct {
	err   bool
	value T
	why   U
}

// Ok is a value.
func Ok[T, U any](value T) Result[T, U] { return Result[T, U]{value: value} }

// Err is why there is none.
func Err[T, U any](why U) Result[T, U] { return Result[T, U]{err: true, why: why} }

// Tag tells them apart.
func (r Result[T, U]) Tag() uint8 {
	if r.err {
		return ResultErr
	}
	return ResultOk
}

// Ok is the value, where there is one.
func (r Result[T, U]) Ok() T {
	if r.err {
		panic("a failed result was asked for its value")
	}
	return r.value
}

// Err is why there is none.
func (r Result[T, U]) Err() U {
	if !r.err {
		panic("a result was asked why there is none")
	}
	return r.why
}

// Tuple2 is two values.
type Tuple2[T, U any] struct {
	F0 T
	F1 U
}
