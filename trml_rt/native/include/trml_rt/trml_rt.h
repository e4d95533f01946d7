/*
 * trml_rt: text and video in, sentiment or emotion out, and either input may be missing.
 *
 * THREADS. A handle serves one thread at a time. To answer from several threads, call
 * trml_rt_clone once for each: clones share weights, tokenizer and loaded engines. On a CPU as many
 * of them run at the same time as `callers` of the options says. Results do not change after they
 * are made and may be read from any thread. The last error belongs to the thread whose call failed.
 *
 * PROCESSES. A handle belongs to the process that opened it. In a forked child, calls on it are
 * TRML_RT_USAGE and closing it frees nothing: open the bundle in each process.
 *
 * OWNERSHIP. What a function gives through `out` belongs to the caller, who frees it:
 * trml_rt_close for handles, trml_rt_queue_close for queues, trml_rt_stream_free for streams,
 * trml_rt_result_free and trml_rt_report_free for results and reports. Strings that a getter
 * returns belong to the result (or handle) and live as long as it does. Texts and pixels that are
 * passed in stay the caller's and are not kept after the call. Clones and results outlive the
 * handle they came from.
 *
 * ERRORS. Every call that can fail returns a status; trml_rt_last_error() then says in one sentence
 * what is wrong and what to do. No exception and no signal leaves the library.
 *
 * CHECKS. A handle or a result that was closed, freed or made up is refused with TRML_RT_USAGE,
 * also when another was opened since. So are two threads in one handle, a struct_size, count,
 * stride or flag that cannot be meant, and text that is no UTF-8. What cannot be checked: that
 * pointers to structs, texts, pixels and `out` lead to as much memory as their sizes say; that no
 * other thread changes it during the call; that a string of a getter is not read after its owner is
 * gone; that a `log` function returns.
 *
 * STRUCTS begin with `struct_size`, which the caller sets to sizeof: later versions append fields,
 * and a program compiled against an older header keeps working. Zero means the default everywhere.
 *
 * A complete program:
 *
 *     #include <stdio.h>
 *     #include <trml_rt/trml_rt.h>
 *
 *     int main(void) {
 *       trml_rt_options options = {sizeof options};
 *       trml_rt_sample sample = {sizeof sample};
 *       trml_rt* rt = NULL;
 *       trml_rt_result* result = NULL;
 *       options.bundle = "bundle/";
 *       sample.text = "what a day";
 *       sample.text_length = TRML_RT_TERMINATED;
 *       if (trml_rt_open(&options, &rt) || trml_rt_infer(rt, &sample, 0, &result)) {
 *         fprintf(stderr, "%s\n", trml_rt_last_error());
 *         trml_rt_close(rt);
 *         return 1;
 *       }
 *       printf("%s %+.3f\n", trml_rt_result_label(result), trml_rt_result_score(result));
 *       puts(trml_rt_result_json(result));
 *       trml_rt_result_free(result);
 *       trml_rt_close(rt);
 *       return 0;
 *     }
 */
#ifndef TRML_RT_TRML_RT_H
#define TRML_RT_TRML_RT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TRML_RT_API
#else
#define TRML_RT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a program compiled against an older header would no longer work. */
#define TRML_RT_ABI_VERSION 1

/* The status codes to 6 are the exit codes of the trml-rt command. */
typedef enum trml_rt_status {
  TRML_RT_OK = 0,
  TRML_RT_INTERNAL = 1,     /* a bug, or memory ran out */
  TRML_RT_USAGE = 2,        /* the call makes no sense: no input given, a wrong size */
  TRML_RT_ENVIRONMENT = 3,  /* the machine or this build lacks something */
  TRML_RT_VERIFICATION = 4, /* the engines gave NaN or infinity */
  TRML_RT_ARTEFACT = 5,     /* the bundle is damaged, newer, or made for another device */
  TRML_RT_INPUT = 6,        /* an input cannot be used; see trml_rt_last_reason */
  TRML_RT_BUSY = 8          /* a queue has no room: take an answer, and submit again */
} trml_rt_status;

/* Modalities, the bits of the bundle format. */
typedef enum trml_rt_modality { TRML_RT_TEXT = 1, TRML_RT_VIDEO = 2 } trml_rt_modality;

typedef enum trml_rt_state { TRML_RT_REAL = 1, TRML_RT_VIRTUAL = 2 } trml_rt_state;

typedef enum trml_rt_format {
  TRML_RT_RGB = 0,  /* 3 bytes a pixel */
  TRML_RT_BGR = 1,  /* 3 bytes a pixel */
  TRML_RT_GRAY = 2, /* 1 byte a pixel */
  TRML_RT_NV12 = 3, /* a plane of Y, then a plane of U and V in turn at half size */
  TRML_RT_RGBA = 4, /* 4 bytes a pixel, of which the last does not count */
  TRML_RT_BGRA = 5  /* 4 bytes a pixel, of which the last does not count */
} trml_rt_format;

/* How NV12 means colour; both are limited range (Y from 16 to 235), as cameras and decoders give.
 */
typedef enum trml_rt_matrix { TRML_RT_BT601 = 0, TRML_RT_BT709 = 1 } trml_rt_matrix;

typedef enum trml_rt_memory {
  TRML_RT_HOST = 0,
  /* CUDA memory of the handle's device, of any format, size and stride. The TensorRT back end has
   * these. They are converted there, by kernels that NVRTC compiles when the first such frame
   * comes. Packed RGB of the size in trml_rt_info needs no NVRTC. */
  TRML_RT_CUDA = 1
} trml_rt_memory;

/* For trml_rt_sample.text_length: the text ends at its zero byte. */
#define TRML_RT_TERMINATED ((size_t)-1)

/* For the `flags` of an infer call: count an unusable input as missing, and say so in the answer.
 */
#define TRML_RT_DEGRADE 1u

typedef enum trml_rt_log_level { TRML_RT_LOG_INFO = 1, TRML_RT_LOG_WARNING = 2 } trml_rt_log_level;

/* Called with one line of text, from any thread that uses the handle or a clone of it, and from
 * threads of the back end. Must not call back into the handle. */
typedef void (*trml_rt_log_fn)(void* user, trml_rt_log_level level, const char* line);

typedef struct trml_rt_options {
  size_t struct_size;
  const char* bundle;    /* folder of the bundle; NULL: the environment's TRML_RT_BUNDLE */
  const char* backend;   /* "auto" (also NULL), "openvino", "tensorrt" */
  const char* precision; /* engines that `trml-rt build` made in it: "fp32", "fp16", "int8"; NULL:
                            those that the back end takes unasked, else the portable graphs */
  int32_t threads;       /* CPU threads of one engine, up to 256; 0: the back end chooses */
  int32_t device;        /* number of the CUDA device */
  trml_rt_log_fn log;    /* NULL: nothing is logged */
  void* log_user;        /* handed to `log` */
  /* How many handles run at once, up to 256; 0: one. On a CPU they share its cores, and `threads`
   * is for each of them. */
  int32_t callers;
  /* File of a public key: the bundle must be signed with the private one; NULL: it need not be. */
  const char* signed_by;
} trml_rt_options;

typedef struct trml_rt_frame {
  const void* data; /* the first pixel, or the Y plane */
  size_t stride;    /* bytes from one row to the next; 0: rows are packed */
  const void* uv;   /* NV12: the U and V plane; NULL: straight after the Y plane */
  size_t uv_stride; /* 0: as stride */
  int32_t width;    /* pixels */
  int32_t height;   /* pixels */
  int32_t format;   /* a trml_rt_format */
  int32_t matrix;   /* a trml_rt_matrix; NV12 only */
  int32_t memory;   /* a trml_rt_memory */
} trml_rt_frame;

/* One row: what was said and what was seen. NULL or zero length: absent. */
typedef struct trml_rt_sample {
  size_t struct_size;
  const char* text; /* UTF-8 */
  size_t text_length;
  const trml_rt_frame* frames; /* in the order shown; those in the middle of equal parts are used */
  size_t frame_count;
  size_t frame_size; /* sizeof(trml_rt_frame); must be set where frames are given */
  /* A cudaStream_t on which frames in CUDA memory become ready; the call waits for it. */
  void* cuda_stream;
} trml_rt_sample;

/* What the model of a handle takes and gives. */
typedef struct trml_rt_info {
  size_t struct_size;
  int32_t frames;  /* most frames of a clip that are used */
  int32_t height;  /* of a frame as the model takes it */
  int32_t width;   /* of a frame as the model takes it */
  int32_t context; /* most tokens of a text, special tokens included */
  int32_t label_count;
  const char* backend; /* "openvino" or "tensorrt" */
  int32_t regression;  /* 1: a score in a range; 0: a probability for each label */
  double low, high;    /* the range of a regression's scores */
} trml_rt_info;

/* Numbers in the guise of pointers: they lead to no memory. */
typedef struct trml_rt trml_rt;               /* a handle: one model, ready to answer */
typedef struct trml_rt_result trml_rt_result; /* one answer */

/* The ABI of the library at run time; compare with TRML_RT_ABI_VERSION. */
TRML_RT_API uint32_t trml_rt_abi_version(void);
TRML_RT_API const char* trml_rt_version(void);

/* What went wrong in this thread's last failed call, and "" before any; never NULL. */
TRML_RT_API const char* trml_rt_last_error(void);
/* After TRML_RT_INPUT the answer's word for it: "empty_text", "unknown_text", "too_short" or
 * "undecodable"; else "". */
TRML_RT_API const char* trml_rt_last_reason(void);

/* Open a bundle. Reads the manifest and looks at file sizes; engines and tokenizer load, and are
 * hashed, when a call first needs them, so text alone never loads the image encoder. */
TRML_RT_API trml_rt_status trml_rt_open(const trml_rt_options* options, trml_rt** out);
/* A second handle on the same model, for another thread. */
TRML_RT_API trml_rt_status trml_rt_clone(const trml_rt* rt, trml_rt** out);
/* Free a handle; NULL is fine. One that is closed already is TRML_RT_USAGE. A call of another
 * thread on it ends as if it were open. */
TRML_RT_API trml_rt_status trml_rt_close(trml_rt* rt);
/* Fill `info`, whose struct_size the caller has set. */
TRML_RT_API trml_rt_status trml_rt_get_info(const trml_rt* rt, trml_rt_info* info);
/* The labels that an answer may have, in order; NULL beyond the last. Lives as long as the handle.
 */
TRML_RT_API const char* trml_rt_get_label(const trml_rt* rt, size_t index);

/* Load every engine and run each engine set on padding and black frames, so that no later call of
 * this handle waits for it. On TensorRT this makes the CUDA graphs of one row, for every length
 * that texts are padded to, with and without a whole clip; each clone has its own. */
TRML_RT_API trml_rt_status trml_rt_warm_up(trml_rt* rt);

/* Answer on one sample. `flags` is 0 or TRML_RT_DEGRADE. */
TRML_RT_API trml_rt_status trml_rt_infer(trml_rt* rt, const trml_rt_sample* sample, uint32_t flags,
                                         trml_rt_result** out);
/* Answer on `count` samples, each with its own inputs present; `out` has room for `count` results.
 * All of them are made, or none. A row gets the answer that it would get alone, to float rounding.
 */
TRML_RT_API trml_rt_status trml_rt_infer_batch(trml_rt* rt, const trml_rt_sample* samples,
                                               size_t count, uint32_t flags, trml_rt_result** out);

/*
 * WHAT IS HERE. A report says what this library has, whether this machine is fit for it, and what
 * a call would run on: the checks of `trml-rt doctor`, in its words. Its strings live as long as it
 * does.
 */
typedef struct trml_rt_report trml_rt_report;

/* One check. The machine is not fit if one fails that is required. */
typedef struct trml_rt_check {
  size_t struct_size;
  const char* name; /* "library", "system", "bundle", "back end openvino", "CUDA", "engines", ... */
  const char* found;  /* what was found, or why it cannot be used */
  const char* remedy; /* what to do; NULL: nothing, or `found` says it */
  int32_t ok;
  int32_t required;
} trml_rt_check;

/* Look at this machine. `options` as for trml_rt_open; NULL: any back end. Without a bundle, in the
 * options or in TRML_RT_BUNDLE, the checks "bundle" and "engines" are left out. Reads and hashes
 * the files of the bundle. A machine that is not fit is a report, and no failure of this call. */
TRML_RT_API trml_rt_status trml_rt_probe(const trml_rt_options* options, trml_rt_report** out);
TRML_RT_API int32_t trml_rt_report_fit(const trml_rt_report* report);
TRML_RT_API size_t trml_rt_report_count(const trml_rt_report* report);
/* Fill `check`, whose struct_size the caller has set. */
TRML_RT_API trml_rt_status trml_rt_report_check(const trml_rt_report* report, size_t index,
                                                trml_rt_check* check);
/* The report as the JSON that `trml-rt doctor --json` prints. */
TRML_RT_API const char* trml_rt_report_json(const trml_rt_report* report);
TRML_RT_API trml_rt_status trml_rt_report_free(trml_rt_report* report);

/*
 * ANSWERS LATER. A queue answers samples in a thread of its own, one after the other, in the order
 * in which they were submitted, while the caller goes on:
 *
 *     trml_rt_queue_open(rt, 0, &queue);
 *     ... trml_rt_submit(queue, &sample, 0, &number);       once for each window of a camera
 *     ... trml_rt_poll(queue, 0, &number, &result);         now and then; result is NULL meanwhile
 *     trml_rt_queue_close(queue);
 *
 * THREADS: any number of them may call a queue at once. It counts as one of the `callers` of the
 * options. OWNERSHIP: what is submitted is copied before trml_rt_submit returns: the text, and of
 * the frames those that will be used. Only frames in CUDA memory are not: they must stay until the
 * answer is taken or trml_rt_cancel has returned. A result is the caller's as one of trml_rt_infer.
 * The handle may be closed before the queue.
 */
typedef struct trml_rt_queue trml_rt_queue;

/* `capacity`: how many samples may be under way, from their submission until the answer is taken,
 * up to 1024; 0: 4. */
TRML_RT_API trml_rt_status trml_rt_queue_open(const trml_rt* rt, int32_t capacity,
                                              trml_rt_queue** out);
/* Give a sample away; `flags` is 0 or TRML_RT_DEGRADE. `number` is its name from now on, counted
 * from 1. Never waits for an answer: where there is no room, it returns TRML_RT_BUSY. What is wrong
 * with a sample is told by this call if it can be seen at once, such as a stride, else with its
 * answer. */
TRML_RT_API trml_rt_status trml_rt_submit(trml_rt_queue* queue, const trml_rt_sample* sample,
                                          uint32_t flags, uint64_t* number);
/* Take the next answer. `timeout_ms` is how long to wait for one; negative: until there is one, or
 * no sample is under way. Where there is none, the call succeeds, `number` is 0 and `out` is NULL.
 * Where a sample could not be answered, `number` names it, and the status and the last error are
 * those of its trml_rt_infer. */
TRML_RT_API trml_rt_status trml_rt_poll(trml_rt_queue* queue, int64_t timeout_ms, uint64_t* number,
                                        trml_rt_result** out);
/* Forget a sample that is under way: its answer never comes. One that is being answered is waited
 * for. One that is not under way, because its answer was taken, is TRML_RT_USAGE. */
TRML_RT_API trml_rt_status trml_rt_cancel(trml_rt_queue* queue, uint64_t number);
/* Free a queue, with the answers that nobody took; NULL is fine. Waits for the sample that is being
 * answered; those behind it are not answered. A poll of another thread ends as TRML_RT_USAGE. */
TRML_RT_API trml_rt_status trml_rt_queue_close(trml_rt_queue* queue);

/* Getters. A result that is NULL, or was freed, gives NULL or 0. */
TRML_RT_API const char* trml_rt_result_label(const trml_rt_result* result);
/* In the model's range (regression), or the probability of the label (classification). */
TRML_RT_API double trml_rt_result_score(const trml_rt_result* result);
/* Classification: one probability a label; regression: none. */
TRML_RT_API size_t trml_rt_result_probability_count(const trml_rt_result* result);
TRML_RT_API const char* trml_rt_result_probability(const trml_rt_result* result, size_t index,
                                                   double* probability);
TRML_RT_API trml_rt_state trml_rt_result_state(const trml_rt_result* result,
                                               trml_rt_modality input);
/* Why an input is virtual: "not_given", "empty_text", "unknown_text", "too_short" or
 * "undecodable"; NULL if real. */
TRML_RT_API const char* trml_rt_result_reason(const trml_rt_result* result, trml_rt_modality input);
/* The share of a real text's own tokens, 0 to 1, that the tokenizer does not know. */
TRML_RT_API double trml_rt_result_unknown(const trml_rt_result* result);
/* Tokens of a real text, special tokens included; 0 otherwise. */
TRML_RT_API int32_t trml_rt_result_tokens(const trml_rt_result* result);
/* 1: the text was longer than the context and was cut. */
TRML_RT_API int32_t trml_rt_result_truncated(const trml_rt_result* result);
/* Frames of a real clip that were used; 0 otherwise. */
TRML_RT_API int32_t trml_rt_result_frames(const trml_rt_result* result);
TRML_RT_API const char* trml_rt_result_engine_set(const trml_rt_result* result);
TRML_RT_API const char* trml_rt_result_backend(const trml_rt_result* result);
/* "portable", or the name of the engine folder. */
TRML_RT_API const char* trml_rt_result_engines(const trml_rt_result* result);
TRML_RT_API int32_t trml_rt_result_verified(const trml_rt_result* result);
/* Milliseconds of "decode", "preprocess", an engine by name, or "total"; negative if it did not
 * run. */
TRML_RT_API double trml_rt_result_ms(const trml_rt_result* result, const char* name);
/* The answer as the JSON that `trml-rt infer --json` prints. */
TRML_RT_API const char* trml_rt_result_json(const trml_rt_result* result);
/* Free a result; NULL is fine. One that was freed already is TRML_RT_USAGE. */
TRML_RT_API trml_rt_status trml_rt_result_free(trml_rt_result* result);

/*
 * STREAMS answer on frames and texts as they come: each answer is on a window, the newest frames
 * and the text that counts for them. docs/streaming.md says by which rules; answers, drops and
 * events are those of the Python package. Times are in seconds.
 *
 * Threads. Any thread may push, say what the camera does, end and close a stream, and read its
 * totals. A poll does the work, in the thread that calls it; threads that poll one stream at once
 * wait in line. Events are told within a poll. Several streams on one handle share its engines, and
 * each may have threads of its own: a stream counts as a handle in `callers` of the options. It
 * outlives the handle that it was opened on.
 *
 *     trml_rt_stream_options settings = {sizeof settings};
 *     trml_rt_stream* stream = NULL;
 *     settings.every = 0.5;
 *     trml_rt_stream_open(rt, &settings, &stream);
 *     while (camera_gives(&frame, &t)) {
 *       trml_rt_stream_push_frame(stream, &frame, sizeof frame, t, &taken);
 *       if (trml_rt_stream_poll(stream, 0, &result) == TRML_RT_OK && result != NULL) {
 *         printf("%.2f s: %s\n", trml_rt_result_t1(result), trml_rt_result_label(result));
 *         trml_rt_result_free(result);
 *       }
 *     }
 *     trml_rt_stream_free(stream);
 */
typedef struct trml_rt_stream trml_rt_stream; /* a number, as other handles */

/* What becomes of a frame that comes while an answer is made. */
typedef enum trml_rt_policy {
  TRML_RT_FRESHEST = 0, /* it waits, and the next one takes its place: for cameras */
  TRML_RT_EVERY = 1     /* it waits; where `buffer` frames wait already it is not taken */
} trml_rt_policy;

/* What an input does. */
typedef enum trml_rt_source_state {
  TRML_RT_CONNECTING = 1,
  TRML_RT_RUNNING = 2, /* the only one in which video is real */
  TRML_RT_STALLED = 3,
  TRML_RT_RETRYING = 4,
  TRML_RT_ENDED = 5,
  TRML_RT_FAILED = 6
} trml_rt_source_state;

/* A change of what an input does. Strings live as long as the call that tells it. */
typedef struct trml_rt_event {
  size_t struct_size;
  int32_t input;       /* a trml_rt_modality */
  int32_t state;       /* a trml_rt_source_state */
  int64_t epoch;       /* see trml_rt_result_epoch */
  const char* reason;  /* why a virtual input stands in from now on; NULL: none does */
  const char* message; /* what trml_rt_stream_push_state was told; NULL: nothing */
  const char* json;    /* the event as `trml-rt stream --json` prints it */
} trml_rt_event;

/* Called within a poll. It may push into the stream, close and free it, and must not poll it. */
typedef void (*trml_rt_event_fn)(void* user, const trml_rt_event* event);
/* Seconds that pass; called from any thread that uses the stream. Must not call the stream. */
typedef double (*trml_rt_clock_fn)(void* user);

typedef struct trml_rt_stream_options {
  size_t struct_size;
  int32_t window;  /* the most frames of an answer; 0: as many as the model takes */
  int32_t policy;  /* a trml_rt_policy */
  int32_t buffer;  /* how many frames may wait; 0: 1 with TRML_RT_FRESHEST, 8 with TRML_RT_EVERY */
  int32_t anytime; /* 1: answer on the text at once, and again when the frames are done */
  double every;    /* of media time between two frames that are taken; 0 takes all */
  double max_staleness;  /* how long a frame may wait; 0: 0.5 with TRML_RT_FRESHEST, else any */
  double hold;           /* how long a text counts after its end; 0: 5 */
  double offset;         /* added to the times of texts */
  double stall_after;    /* without a frame until a virtual video stands in; 0: 2 */
  double freeze_after;   /* of equal frames until one does; 0: any */
  double max_gap;        /* a longer step of media time begins a new epoch; 0: 10 */
  double deadline_ms;    /* how old the newest input of an answer may be; video is left out where it
                            would come later, by the times that answers took here; 0: any */
  int32_t whole_windows; /* 1: encode whole windows, as an infer call does, and keep nothing */
  trml_rt_event_fn on_event; /* NULL: no event is told */
  void* event_user;          /* handed to `on_event` */
  trml_rt_clock_fn clock;    /* for tests; NULL: the monotonic clock */
  void* clock_user;          /* handed to `clock` */
} trml_rt_stream_options;

/* What became of the frames that a stream has seen: `seen` is the sum of all others. */
typedef struct trml_rt_totals {
  size_t struct_size;
  uint64_t seen;
  uint64_t answered;     /* they are in the window of an answer */
  uint64_t waiting;      /* in none as yet; 0 once the stream is closed */
  uint64_t between;      /* dropped: came sooner than `every` after the frame before */
  uint64_t buffer;       /* dropped: a newer one took its place */
  uint64_t stale;        /* dropped: waited longer than `max_staleness` */
  uint64_t deadline;     /* dropped: the answer would have missed `deadline_ms` */
  uint64_t unchanged;    /* dropped: its time is that of the frame before, or it was frozen */
  uint64_t decode_error; /* dropped: it cannot be resized */
  uint64_t unfinished;   /* dropped: its window was never full after a loss, or the end came */
} trml_rt_totals;

/* For the time of a text that has none. */
#define TRML_RT_NO_TIME (-1e300)

/* Open a stream on the model of a handle; NULL options mean all defaults. */
TRML_RT_API trml_rt_status trml_rt_stream_open(const trml_rt* rt,
                                               const trml_rt_stream_options* options,
                                               trml_rt_stream** out);
/* As trml_rt_warm_up, for the answers of this stream. */
TRML_RT_API trml_rt_status trml_rt_stream_warm_up(trml_rt_stream* stream);

/* Give a frame in host memory; its pixels are copied. `t` is its time stamp: a step back, or one
 * ahead of more than `max_gap`, begins a new epoch. `frame_size` is sizeof(trml_rt_frame).
 * `taken` is 0 where the policy is TRML_RT_EVERY and as many frames wait as may: poll, and push the
 * frame again. It is not counted then. */
TRML_RT_API trml_rt_status trml_rt_stream_push_frame(trml_rt_stream* stream,
                                                     const trml_rt_frame* frame, size_t frame_size,
                                                     double t, int32_t* taken);
/* Give a text, UTF-8. `t` is when it began, in media time, or TRML_RT_NO_TIME: now. `end` is when
 * it ended, or TRML_RT_NO_TIME: at `t`. `taken` is 0 where 65536 texts wait for their time. */
TRML_RT_API trml_rt_status trml_rt_stream_push_text(trml_rt_stream* stream, const char* text,
                                                    size_t text_length, double t, double end,
                                                    int32_t* taken);
/* Say what the camera does, in its place among the frames: any trml_rt_source_state but
 * TRML_RT_RUNNING, which frames tell. `message` is a sentence for the event, or NULL. */
TRML_RT_API trml_rt_status trml_rt_stream_push_state(trml_rt_stream* stream, int32_t state,
                                                     const char* message);
/* Say that no further text comes. */
TRML_RT_API trml_rt_status trml_rt_stream_end_texts(trml_rt_stream* stream);
/* Say that nothing more comes; polls still answer on what waits. */
TRML_RT_API trml_rt_status trml_rt_stream_end(trml_rt_stream* stream);

/* Give the next answer, or NULL if there is none. Waits for one for `timeout` seconds; 0: only
 * takes what came; negative: until there is one, or the stream ends. */
TRML_RT_API trml_rt_status trml_rt_stream_poll(trml_rt_stream* stream, double timeout,
                                               trml_rt_result** out);
/* 1: no further answer comes, because the stream was ended and is drained, or was closed. */
TRML_RT_API int32_t trml_rt_stream_finished(const trml_rt_stream* stream);
/* Fill `totals`, whose struct_size the caller has set; after the close, too. */
TRML_RT_API trml_rt_status trml_rt_stream_totals(const trml_rt_stream* stream,
                                                 trml_rt_totals* totals);
/* End the stream and let go of what waits; a poll in another thread returns. Closing twice, and
 * NULL, are fine. */
TRML_RT_API trml_rt_status trml_rt_stream_close(trml_rt_stream* stream);
/* Close a stream and free it; NULL is fine. One that was freed already is TRML_RT_USAGE. A call of
 * another thread on it ends as if it were closed. */
TRML_RT_API trml_rt_status trml_rt_stream_free(trml_rt_stream* stream);

/* Getters of a result that a poll gave, beside those above; of others they give 0 or NULL. Its
 * trml_rt_result_reason may also be "connecting", "stalled", "lost", "frozen", "black", "ended",
 * "stale" or "deadline". Its JSON is what `trml-rt stream --json` prints. */
/* Counts the answers of the stream. */
TRML_RT_API int64_t trml_rt_result_seq(const trml_rt_result* result);
/* Counts jumps of media time. Time never runs back within an epoch. */
TRML_RT_API int64_t trml_rt_result_epoch(const trml_rt_result* result);
/* Media time of the first and of the last frame; where video is virtual, both are that of now. */
TRML_RT_API double trml_rt_result_t0(const trml_rt_result* result);
TRML_RT_API double trml_rt_result_t1(const trml_rt_result* result);
/* Milliseconds from the arrival of the newest input to the answer. */
TRML_RT_API double trml_rt_result_age_ms(const trml_rt_result* result);
/* The text that the answer is on; NULL: none counts. */
TRML_RT_API const char* trml_rt_result_spoken(const trml_rt_result* result);
/* 1: this is the early answer of `anytime`, and another one follows. */
TRML_RT_API int32_t trml_rt_result_early(const trml_rt_result* result);
/* 1: the answer missed `deadline_ms`. */
TRML_RT_API int32_t trml_rt_result_late(const trml_rt_result* result);

#ifdef __cplusplus
}
#endif

#endif /* TRML_RT_TRML_RT_H */
