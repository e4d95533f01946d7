# Find TensorRT and the CUDA runtime; honours TensorRT_ROOT and CUDAToolkit_ROOT.
#
#   TensorRT_FOUND, TensorRT_VERSION, and the target TensorRT::TensorRT
#
# JetPack installs both through apt, where they are found without help. A folder of headers alone
# is enough to compile, not to link.
find_path(TensorRT_INCLUDE_DIR NvInfer.h
  HINTS ${TensorRT_ROOT} ENV TensorRT_ROOT PATH_SUFFIXES include
  PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} /usr/local/tensorrt/include)
find_library(TensorRT_LIBRARY nvinfer
  HINTS ${TensorRT_ROOT} ENV TensorRT_ROOT PATH_SUFFIXES lib lib64
  PATHS /usr/local/tensorrt/lib)
find_path(TensorRT_CUDA_INCLUDE_DIR cuda_runtime_api.h
  HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT
  PATH_SUFFIXES include targets/aarch64-linux/include targets/sbsa-linux/include
  PATHS /usr/local/cuda)
find_library(TensorRT_CUDART_LIBRARY cudart
  HINTS ${CUDAToolkit_ROOT} ENV CUDAToolkit_ROOT
  PATH_SUFFIXES lib64 lib targets/aarch64-linux/lib targets/sbsa-linux/lib
  PATHS /usr/local/cuda)

if(TensorRT_INCLUDE_DIR AND EXISTS ${TensorRT_INCLUDE_DIR}/NvInferVersion.h)
  # 11 renamed the numbers behind NV_TENSORRT_*; both spellings end in the number.
  file(STRINGS ${TensorRT_INCLUDE_DIR}/NvInferVersion.h lines
    REGEX "^#define (NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH)(_ENTERPRISE)? +[0-9]+")
  set(TensorRT_VERSION)
  foreach(part MAJOR MINOR PATCH)
    if(lines MATCHES "${part}(_ENTERPRISE)? +([0-9]+)")
      list(APPEND TensorRT_VERSION ${CMAKE_MATCH_2})
    endif()
  endforeach()
  list(JOIN TensorRT_VERSION . TensorRT_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRT
  REQUIRED_VARS TensorRT_INCLUDE_DIR TensorRT_LIBRARY TensorRT_CUDA_INCLUDE_DIR
                TensorRT_CUDART_LIBRARY
  VERSION_VAR TensorRT_VERSION)
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_LIBRARY TensorRT_CUDA_INCLUDE_DIR
                 TensorRT_CUDART_LIBRARY)

if(TensorRT_FOUND AND NOT TARGET TensorRT::TensorRT)
  add_library(TensorRT::TensorRT INTERFACE IMPORTED)
  set_target_properties(TensorRT::TensorRT PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${TensorRT_INCLUDE_DIR};${TensorRT_CUDA_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${TensorRT_LIBRARY};${TensorRT_CUDART_LIBRARY}")
endif()
