// Stands in for TensorRT's header: what the TensorRT files call of it (stand_in_tensorrt.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda_runtime_api.h"

std::int32_t getInferLibVersion();

namespace nvinfer1 {

enum class DataType { kFLOAT, kHALF, kINT8, kINT32, kBOOL, kUINT8 };
enum class TensorIOMode { kNONE, kINPUT, kOUTPUT };
enum class OptProfileSelector { kMIN, kOPT, kMAX };
enum class ExecutionContextAllocationStrategy { kSTATIC, kON_PROFILE_CHANGE, kUSER_MANAGED };

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

class ILogger {
 public:
  enum class Severity { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };
  virtual void log(Severity, char const*) noexcept = 0;
  virtual ~ILogger() = default;
};

class IExecutionContext {
 public:
  virtual ~IExecutionContext() = default;
  virtual void setDeviceMemoryV2(void*, std::int64_t) = 0;
  virtual bool setInputShape(char const*, Dims const&) = 0;
  virtual bool setTensorAddress(char const*, void*) = 0;
  virtual Dims getTensorShape(char const*) const = 0;
  virtual bool enqueueV3(cudaStream_t) = 0;
};

class ICudaEngine {
 public:
  virtual ~ICudaEngine() = default;
  virtual std::int32_t getNbIOTensors() const = 0;
  virtual char const* getIOTensorName(std::int32_t) const = 0;
  virtual DataType getTensorDataType(char const*) const = 0;
  virtual Dims getTensorShape(char const*) const = 0;
  virtual TensorIOMode getTensorIOMode(char const*) const = 0;
  virtual Dims getProfileShape(char const*, std::int32_t, OptProfileSelector) const = 0;
  virtual std::int64_t getDeviceMemorySizeV2() const = 0;
  virtual IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) = 0;
};

class IRuntime {
 public:
  virtual ~IRuntime() = default;
  virtual ICudaEngine* deserializeCudaEngine(void const*, std::size_t) = 0;
};

IRuntime* createInferRuntime(ILogger&);

}  // namespace nvinfer1
