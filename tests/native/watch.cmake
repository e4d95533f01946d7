# Run the camera example on two seconds of raw frames, and of a pipeline where GStreamer is built in.
#   -DWATCH= -DBUNDLE= -DGSTREAMER=
function(check what least statuses answers events)
  string(REGEX MATCHALL "[^\n]+ frames, [0-9.]+ ms old\n" lines "${answers}")
  list(LENGTH lines count)
  if(NOT statuses MATCHES "^0(;0)?$" OR count LESS least OR NOT events MATCHES "\"state\":\"ended\"")
    message(FATAL_ERROR "${what}: ${count} answers, ended with ${statuses}\n${answers}${events}")
  endif()
  message(STATUS "${what}: ${count} answers\n${answers}${events}")
endfunction()

math(EXPR bytes "64 * 48 * 3 * 50")
execute_process(COMMAND head -c ${bytes} /dev/zero COMMAND ${WATCH} ${BUNDLE} raw 64 48 25
  RESULTS_VARIABLE statuses OUTPUT_VARIABLE answers ERROR_VARIABLE events)
check(raw 4 "${statuses}" "${answers}" "${events}")

if(GSTREAMER)
  set(caps "video/x-raw,format=NV12,width=64,height=48,framerate=25/1")
  execute_process(
    COMMAND ${WATCH} ${BUNDLE} gst "videotestsrc num-buffers=50 ! ${caps} ! appsink name=sink"
    RESULTS_VARIABLE statuses OUTPUT_VARIABLE answers ERROR_VARIABLE events)
  check(gst 1 "${statuses}" "${answers}" "${events}")
  execute_process(
    COMMAND ${WATCH} ${BUNDLE} gst "filesrc location=/nowhere ! decodebin ! ${caps} ! appsink name=sink"
    RESULT_VARIABLE status ERROR_VARIABLE events TIMEOUT 60)
  if(NOT status EQUAL 1 OR NOT events MATCHES "\"state\":\"failed\".*the pipeline failed: ")
    message(FATAL_ERROR "a pipeline that fails ended with ${status}\n${events}")
  endif()
endif()
