# Install the built library into an empty folder, and build and run programs against it there: through
# find_package, and through pkg-config.
#   -DBUILD= -DSOURCE= -DBUNDLE= -DLIBDIR= -DWORK=
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
set(prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/installed)
file(RENAME ${WORK}/installed ${prefix})  # an installed folder may be moved
run(${CMAKE_COMMAND} -S ${SOURCE}/tests/native/consumer -B ${WORK}/build
    -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/consumer_c ${BUNDLE})
run(${WORK}/build/consumer_cpp ${BUNDLE})
run(${prefix}/bin/trml-rt-probe ${BUNDLE})

find_program(PKG_CONFIG pkg-config)
if(NOT PKG_CONFIG)
  message(FATAL_ERROR "pkg-config is needed: apt-get install pkg-config")
endif()
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${prefix}/${LIBDIR}/pkgconfig
          ${PKG_CONFIG} --cflags --libs trml_rt
  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags)
run(cc -std=c99 -Wall -Wextra -Werror -Wno-missing-field-initializers
    ${SOURCE}/tests/native/consumer/main.c -o ${WORK}/consumer_pc ${flags})
run(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${prefix}/${LIBDIR} ${WORK}/consumer_pc ${BUNDLE})
