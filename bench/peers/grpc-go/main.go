// The peer that a Go team would write: grpc-go around an ONNX Runtime binding.
// usage: server LIBRARY MODEL.onnx PORT      prints "ready PORT" when it serves.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "tenon.invalid/bench/grpc-go/inference"
)

type service struct {
	pb.UnimplementedGRPCInferenceServiceServer
	session *ort.DynamicAdvancedSession
	inputs  []ort.InputOutputInfo
	outputs []ort.InputOutputInfo
}

func view[T any](raw []byte) []T {
	if len(raw) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(&raw[0])), len(raw)/int(unsafe.Sizeof(zero)))
}

func bytesOf[T any](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	size := len(data) * int(unsafe.Sizeof(data[0]))
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), size)...)
}

func tensor(datatype string, shape []int64, raw []byte) (ort.Value, error) {
	switch datatype {
	case "INT32":
		return ort.NewTensor(ort.NewShape(shape...), view[int32](raw))
	case "FP32":
		return ort.NewTensor(ort.NewShape(shape...), view[float32](raw))
	}
	return nil, fmt.Errorf("datatype %q is not served here", datatype)
}

func (s *service) ModelInfer(_ context.Context, request *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	if len(request.Inputs) != len(s.inputs) || len(request.RawInputContents) != len(s.inputs) {
		return nil, status.Error(codes.InvalidArgument, "raw contents expected for each input")
	}
	inputs := make([]ort.Value, len(s.inputs))
	defer func() {
		for _, value := range inputs {
			if value != nil {
				value.Destroy()
			}
		}
	}()
	for i, input := range request.Inputs {
		value, err := tensor(input.Datatype, input.Shape, request.RawInputContents[i])
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		inputs[i] = value
	}
	outputs := make([]ort.Value, len(s.outputs))
	if err := s.session.Run(inputs, outputs); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	response := &pb.ModelInferResponse{ModelName: request.ModelName, ModelVersion: "1", Id: request.Id}
	for i, value := range outputs {
		output := &pb.ModelInferResponse_InferOutputTensor{Name: s.outputs[i].Name, Shape: value.GetShape()}
		var raw []byte
		switch typed := value.(type) {
		case *ort.Tensor[int32]:
			output.Datatype, raw = "INT32", bytesOf(typed.GetData())
		case *ort.Tensor[float32]:
			output.Datatype, raw = "FP32", bytesOf(typed.GetData())
		}
		response.Outputs = append(response.Outputs, output)
		response.RawOutputContents = append(response.RawOutputContents, raw)
		value.Destroy()
	}
	return response, nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func names(infos []ort.InputOutputInfo) []string {
	list := []string{}
	for _, info := range infos {
		list = append(list, info.Name)
	}
	return list
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: server LIBRARY MODEL.onnx PORT")
		os.Exit(64)
	}
	ort.SetSharedLibraryPath(os.Args[1])
	must(ort.InitializeEnvironment())
	inputs, outputs, err := ort.GetInputOutputInfo(os.Args[2])
	must(err)
	options, err := ort.NewSessionOptions()
	must(err)
	must(options.SetIntraOpNumThreads(1))
	must(options.SetInterOpNumThreads(1))
	must(options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"))
	session, err := ort.NewDynamicAdvancedSession(os.Args[2], names(inputs), names(outputs), options)
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[3])
	must(err)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	pb.RegisterGRPCInferenceServiceServer(server, &service{session: session, inputs: inputs, outputs: outputs})
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)
	must(server.Serve(listener))
}
