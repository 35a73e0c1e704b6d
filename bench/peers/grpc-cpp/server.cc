// The peer that a C++ team would write: a grpc++ callback server around one ONNX Runtime session.
// usage: server MODEL.onnx PORT      prints "ready PORT" when it serves.
// Inputs are used in place when aligned, outputs are copied once into the answer; one intra-op
// thread and no spinning, as in tenon, so that both pay the same for inference.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "inference.grpc.pb.h"
#include "onnxruntime_c_api.h"

namespace {

const OrtApi *ort;

void check(OrtStatus *status)
{
    if (status != nullptr) {
        std::fprintf(stderr, "onnxruntime: %s\n", ort->GetErrorMessage(status));
        std::exit(1);
    }
}

struct Type {
    const char *name;
    ONNXTensorElementDataType onnx;
};
const Type types[] = {{"INT32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
                      {"FP32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
                      {"INT64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64}};

class Model {
  public:
    explicit Model(const char *path)
    {
        OrtSessionOptions *options;
        check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "peer", &env_));
        check(ort->CreateSessionOptions(&options));
        check(ort->SetIntraOpNumThreads(options, 1));
        check(ort->SetInterOpNumThreads(options, 1));
        check(ort->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
        check(ort->CreateSession(env_, path, options, &session_));
        check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_));
        OrtAllocator *allocator;
        check(ort->GetAllocatorWithDefaultOptions(&allocator));
        size_t count;
        check(ort->SessionGetOutputCount(session_, &count));
        for (size_t i = 0; i < count; i++) {
            char *name;
            check(ort->SessionGetOutputName(session_, i, allocator, &name));
            outputs_.push_back(name);
        }
    }

    grpc::Status infer(const inference::ModelInferRequest &request,
                       inference::ModelInferResponse *response) const
    {
        if (request.inputs_size() != request.raw_input_contents_size()) {
            return {grpc::INVALID_ARGUMENT, "raw contents expected"};
        }
        std::vector<const char *> names;
        std::vector<OrtValue *> inputs;
        for (int i = 0; i < request.inputs_size(); i++) {
            const auto &input = request.inputs(i);
            const auto &raw = request.raw_input_contents(i);
            const Type *type = nullptr;
            for (const Type &candidate : types) {
                if (input.datatype() == candidate.name) {
                    type = &candidate;
                }
            }
            OrtValue *value = nullptr;
            OrtStatus *status =
                type == nullptr
                    ? ort->CreateStatus(ORT_INVALID_ARGUMENT, "datatype")
                    : ort->CreateTensorWithDataAsOrtValue(
                          memory_, const_cast<char *>(raw.data()), raw.size(),
                          input.shape().data(), static_cast<size_t>(input.shape_size()),
                          type->onnx, &value);
            if (status != nullptr) {
                return fail(status, inputs);
            }
            names.push_back(input.name().c_str());
            inputs.push_back(value);
        }
        std::vector<OrtValue *> values(outputs_.size(), nullptr);
        OrtStatus *status = ort->Run(session_, nullptr, names.data(), inputs.data(), inputs.size(),
                                     outputs_.data(), outputs_.size(), values.data());
        if (status != nullptr) {
            return fail(status, inputs);
        }
        response->set_model_name(request.model_name());
        response->set_model_version("1");
        response->set_id(request.id());
        for (size_t i = 0; i < values.size(); i++) {
            add(response, outputs_[i], values[i]);
            ort->ReleaseValue(values[i]);
        }
        for (OrtValue *value : inputs) {
            ort->ReleaseValue(value);
        }
        return grpc::Status::OK;
    }

  private:
    static grpc::Status fail(OrtStatus *status, const std::vector<OrtValue *> &inputs)
    {
        grpc::Status answer(grpc::INVALID_ARGUMENT, ort->GetErrorMessage(status));
        ort->ReleaseStatus(status);
        for (OrtValue *value : inputs) {
            ort->ReleaseValue(value);
        }
        return answer;
    }

    static void add(inference::ModelInferResponse *response, const char *name, OrtValue *value)
    {
        OrtTensorTypeAndShapeInfo *info;
        ONNXTensorElementDataType onnx;
        size_t rank, elements;
        void *data;
        check(ort->GetTensorTypeAndShape(value, &info));
        check(ort->GetTensorElementType(info, &onnx));
        check(ort->GetDimensionsCount(info, &rank));
        check(ort->GetTensorShapeElementCount(info, &elements));
        std::vector<int64_t> shape(rank);
        check(ort->GetDimensions(info, shape.data(), rank));
        check(ort->GetTensorMutableData(value, &data));
        ort->ReleaseTensorTypeAndShapeInfo(info);
        auto *output = response->add_outputs();
        output->set_name(name);
        for (const Type &type : types) {
            if (type.onnx == onnx) {
                output->set_datatype(type.name);
            }
        }
        for (int64_t dim : shape) {
            output->add_shape(dim);
        }
        size_t size = onnx == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 ? 8 : 4;
        response->add_raw_output_contents(data, elements * size);
    }

    OrtEnv *env_;
    OrtSession *session_;
    OrtMemoryInfo *memory_;
    std::vector<const char *> outputs_;
};

class Service : public inference::GRPCInferenceService::CallbackService {
  public:
    explicit Service(const Model &model) : model_(model) {}

    grpc::ServerUnaryReactor *ModelInfer(grpc::CallbackServerContext *context,
                                         const inference::ModelInferRequest *request,
                                         inference::ModelInferResponse *response) override
    {
        grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
        reactor->Finish(model_.infer(*request, response));
        return reactor;
    }

  private:
    const Model &model_;
};

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s MODEL.onnx PORT\n", argv[0]);
        return 64;
    }
    ort = OrtGetApiBase()->GetApi(21);
    Model model(argv[1]);
    Service service(model);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(std::string("127.0.0.1:") + argv[2],
                             grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr) {
        return 69;
    }
    std::printf("ready %d\n", port);
    std::fflush(stdout);
    server->Wait();
    return 0;
}
