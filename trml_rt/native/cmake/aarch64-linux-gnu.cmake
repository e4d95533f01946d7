# Cross-compile for 64-bit Arm with the distribution's compiler:
#
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install g++-aarch64-linux-gnu libicu-dev:arm64 libssl-dev:arm64 qemu-user
#
# Where the arm64 packages cannot be installed beside the host's, TRML_RT_SYSROOT names a folder into which
# they are unpacked (dpkg-deb -x). Programs run under QEMU where it is installed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(TRML_RT_SYSROOT "" CACHE PATH "Folder with the unpacked arm64 packages; empty: they are installed")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TRML_RT_SYSROOT)
if(TRML_RT_SYSROOT)
  list(PREPEND CMAKE_FIND_ROOT_PATH ${TRML_RT_SYSROOT})
  include_directories(SYSTEM ${TRML_RT_SYSROOT}/usr/include/aarch64-linux-gnu)
  add_link_options(-Wl,-rpath-link,${TRML_RT_SYSROOT}/usr/lib/aarch64-linux-gnu)
endif()
list(APPEND CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH)
# Headers of ICU, OpenSSL and nlohmann-json say the same on every architecture, but for one of OpenSSL's.
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)

find_program(TRML_RT_QEMU qemu-aarch64)
if(TRML_RT_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${TRML_RT_QEMU};-L;/usr/aarch64-linux-gnu")
endif()
