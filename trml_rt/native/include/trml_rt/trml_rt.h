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
 * trml_rt_close for handles, trml_rt_queue_close for queues, trml_rt_result_free and
 * trml_rt_report_free for results and reports. Strings that a getter returns belong to the result
 * (or handle) and live as long as it does. Texts and pixels that are passed in stay the caller's
 * and are not kept after the call. Clones and results outlive the handle they came from.
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
  TRML_RT_NV12 = 3  /* a plane of Y, then a plane of U and V in turn at half size */
} trml_rt_format;

/* How NV12 means colour; both are limited range (Y from 16 to 235), as cameras and decoders give.
 */
typedef enum trml_rt_matrix { TRML_RT_BT601 = 0, TRML_RT_BT709 = 1 } trml_rt_matrix;

typedef enum trml_rt_memory {
  TRML_RT_HOST = 0,
  /* A CUDA device pointer. Only the TensorRT back end has these, and only for frames that are
   * already as the model takes them: RGB, packed, of the size in trml_rt_info. */
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

#ifdef __cplusplus
}
#endif

#endif /* TRML_RT_TRML_RT_H */
