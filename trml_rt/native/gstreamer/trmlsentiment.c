/* The GStreamer element `trmlsentiment`: it passes video on, and posts an answer on the newest
 * frames again and again.
 *
 *     gst-launch-1.0 -m v4l2src ! videoconvert ! video/x-raw,format=NV12 !
 *         trmlsentiment bundle=bundle/ every=0.5 ! fakesink
 *
 * Every `every` seconds a frame is copied into the window, and the window goes into a queue of the
 * library, which answers in its own thread: the pipeline never waits for an answer. Where the queue
 * is full the window is let go; the next one is fresher. Each answer is an element message with the
 * fields `pts` (of the newest frame), `label`, `score` and `json`. At the end of the stream the
 * element waits for the answers that are under way. */
#include <gst/base/gstbasetransform.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <string.h>
#include <trml_rt/trml_rt.h>

#define MOST_FRAMES 64
#define QUEUE 2 /* windows under way; more would only be older */

GST_DEBUG_CATEGORY_STATIC(trml_sentiment_debug);
#define GST_CAT_DEFAULT trml_sentiment_debug

typedef struct {
  GstBaseTransform parent;
  /* Properties, under the object's lock. */
  gchar *bundle, *backend, *precision, *text;
  guint window;
  gdouble every;
  /* Of the streaming thread. */
  trml_rt* rt;
  trml_rt_queue* queue;
  GstVideoInfo info;
  GQueue frames;         /* GstBuffer*, oldest first; copies, so that no pool runs dry */
  guint most;            /* frames of a window */
  GstClockTime taken_at; /* time of the newest frame in the window */
  struct {
    guint64 number;
    GstClockTime pts;
  } asked[QUEUE + 1]; /* windows under way, oldest first; number 0 is none */
} TrmlSentiment;

typedef GstBaseTransformClass TrmlSentimentClass;

G_DEFINE_TYPE(TrmlSentiment, trml_sentiment, GST_TYPE_BASE_TRANSFORM)
#define SELF(object) ((TrmlSentiment*)(object))

enum { PROP_0, PROP_BUNDLE, PROP_BACKEND, PROP_PRECISION, PROP_TEXT, PROP_WINDOW, PROP_EVERY };

#define CAPS GST_VIDEO_CAPS_MAKE("{ RGB, BGR, GRAY8, NV12 }")
static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS(CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS(CAPS));

/* Called from the threads of the library. */
static void log_line(void* user, trml_rt_log_level level, const char* line) {
  if (level == TRML_RT_LOG_WARNING) {
    GST_WARNING_OBJECT(user, "%s", line);
  } else {
    GST_INFO_OBJECT(user, "%s", line);
  }
}

static void forget_window(TrmlSentiment* self) {
  g_queue_clear_full(&self->frames, (GDestroyNotify)gst_buffer_unref);
  self->taken_at = GST_CLOCK_TIME_NONE;
}

/* Forget what is under way, too: of another stream, or of before a seek. */
static void forget_all(TrmlSentiment* self) {
  guint i;
  forget_window(self);
  for (i = 0; i < G_N_ELEMENTS(self->asked); ++i) {
    if (self->asked[i].number != 0) trml_rt_cancel(self->queue, self->asked[i].number);
  }
  memset(self->asked, 0, sizeof self->asked);
}

static gboolean start(GstBaseTransform* base) {
  TrmlSentiment* self = SELF(base);
  trml_rt_options options = {0};
  trml_rt_info info = {0};
  trml_rt_status status;
  gchar *bundle, *backend, *precision;
  GST_OBJECT_LOCK(self);
  bundle = g_strdup(self->bundle);
  backend = g_strdup(self->backend);
  precision = g_strdup(self->precision);
  self->most = self->window;
  GST_OBJECT_UNLOCK(self);
  options.struct_size = sizeof options;
  options.bundle = bundle;
  options.backend = backend;
  options.precision = precision;
  options.log = log_line;
  options.log_user = self;
  info.struct_size = sizeof info;
  status = trml_rt_open(&options, &self->rt);
  if (status == TRML_RT_OK) status = trml_rt_get_info(self->rt, &info);
  if (status == TRML_RT_OK) status = trml_rt_queue_open(self->rt, QUEUE, &self->queue);
  g_free(bundle);
  g_free(backend);
  g_free(precision);
  if (status != TRML_RT_OK) {
    GST_ELEMENT_ERROR(self, LIBRARY, INIT, ("%s", trml_rt_last_error()), (NULL));
    return FALSE;
  }
  if (self->most == 0) self->most = MIN((guint)info.frames, MOST_FRAMES);
  return TRUE;
}

static gboolean stop(GstBaseTransform* base) {
  TrmlSentiment* self = SELF(base);
  forget_window(self);
  memset(self->asked, 0, sizeof self->asked);
  trml_rt_queue_close(self->queue);
  trml_rt_close(self->rt);
  self->queue = NULL;
  self->rt = NULL;
  return TRUE;
}

static gboolean set_caps(GstBaseTransform* base, GstCaps* in, GstCaps* out) {
  TrmlSentiment* self = SELF(base);
  (void)out;
  if (self->queue != NULL) forget_window(self); /* frames of another size or format */
  if (!gst_video_info_from_caps(&self->info, in)) return FALSE;
  if (GST_VIDEO_INFO_FORMAT(&self->info) == GST_VIDEO_FORMAT_NV12 &&
      self->info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255) {
    GST_ELEMENT_WARNING(self, STREAM, FORMAT,
                        ("NV12 of full range is read as of limited range; convert it before"),
                        (NULL));
  }
  return TRUE;
}

/* Post the answers that are there; wait for those under way if `timeout` is negative. */
static void post_answers(TrmlSentiment* self, gint64 timeout) {
  for (;;) {
    uint64_t number = 0;
    trml_rt_result* result = NULL;
    const trml_rt_status status = trml_rt_poll(self->queue, timeout, &number, &result);
    if (number == 0) {
      if (status != TRML_RT_OK) GST_WARNING_OBJECT(self, "%s", trml_rt_last_error());
      return;
    }
    if (status != TRML_RT_OK) {
      GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s", trml_rt_last_error()), (NULL));
    } else {
      GstStructure* answer = gst_structure_new(
          "trmlsentiment", "pts", G_TYPE_UINT64, self->asked[0].pts, "label", G_TYPE_STRING,
          trml_rt_result_label(result), "score", G_TYPE_DOUBLE, trml_rt_result_score(result),
          "json", G_TYPE_STRING, trml_rt_result_json(result), NULL);
      gst_element_post_message(GST_ELEMENT(self),
                               gst_message_new_element(GST_OBJECT(self), answer));
    }
    trml_rt_result_free(result);
    memmove(self->asked, self->asked + 1, sizeof self->asked - sizeof self->asked[0]);
  }
}

static int32_t format_of(const GstVideoInfo* info) {
  switch (GST_VIDEO_INFO_FORMAT(info)) {
    case GST_VIDEO_FORMAT_BGR:
      return TRML_RT_BGR;
    case GST_VIDEO_FORMAT_GRAY8:
      return TRML_RT_GRAY;
    case GST_VIDEO_FORMAT_NV12:
      return TRML_RT_NV12;
    default:
      return TRML_RT_RGB;
  }
}

static void view(const GstVideoFrame* frame, trml_rt_frame* out) {
  out->data = GST_VIDEO_FRAME_PLANE_DATA(frame, 0);
  out->stride = (size_t)GST_VIDEO_FRAME_PLANE_STRIDE(frame, 0);
  out->width = GST_VIDEO_FRAME_WIDTH(frame);
  out->height = GST_VIDEO_FRAME_HEIGHT(frame);
  out->format = format_of(&frame->info);
  if (out->format == TRML_RT_NV12) {
    out->uv = GST_VIDEO_FRAME_PLANE_DATA(frame, 1);
    out->uv_stride = (size_t)GST_VIDEO_FRAME_PLANE_STRIDE(frame, 1);
  }
  out->matrix = frame->info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709 ? TRML_RT_BT709
                                                                               : TRML_RT_BT601;
}

/* Ask for an answer on the window; the library copies what it needs of it. */
static void ask(TrmlSentiment* self) {
  GstVideoFrame mapped[MOST_FRAMES];
  trml_rt_frame frames[MOST_FRAMES];
  trml_rt_sample sample = {0};
  trml_rt_status status;
  uint64_t number = 0;
  guint count = 0, i;
  GList* each;
  memset(frames, 0, sizeof frames);
  for (each = self->frames.head; each != NULL; each = each->next) {
    if (!gst_video_frame_map(&mapped[count], &self->info, each->data, GST_MAP_READ)) break;
    view(&mapped[count], &frames[count]);
    ++count;
  }
  GST_OBJECT_LOCK(self);
  sample.struct_size = sizeof sample;
  sample.text = self->text;
  sample.text_length = TRML_RT_TERMINATED;
  sample.frames = frames;
  sample.frame_count = count;
  sample.frame_size = sizeof frames[0];
  status = trml_rt_submit(self->queue, &sample, 0, &number);
  GST_OBJECT_UNLOCK(self);
  for (i = 0; i < count; ++i) gst_video_frame_unmap(&mapped[i]);
  if (status == TRML_RT_OK) {
    for (i = 0; self->asked[i].number != 0; ++i) continue; /* there is one place too many */
    self->asked[i].number = number;
    self->asked[i].pts = self->taken_at;
  } else if (status == TRML_RT_BUSY) {
    GST_DEBUG_OBJECT(self, "a window is let go: %s", trml_rt_last_error());
  } else {
    GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s", trml_rt_last_error()), (NULL));
  }
}

static GstFlowReturn transform_ip(GstBaseTransform* base, GstBuffer* buffer) {
  TrmlSentiment* self = SELF(base);
  const GstClockTime pts = GST_BUFFER_PTS(buffer);
  GstClockTime every;
  GST_OBJECT_LOCK(self);
  every = (GstClockTime)(self->every * GST_SECOND);
  GST_OBJECT_UNLOCK(self);
  post_answers(self, 0);
  if (GST_CLOCK_TIME_IS_VALID(pts) && GST_CLOCK_TIME_IS_VALID(self->taken_at)) {
    if (pts < self->taken_at) forget_window(self); /* the clock of the source went back */
    /* A frame that comes a little early, by the jitter of its time stamp, is on time. */
    else if (pts + GST_MSECOND < self->taken_at + every)
      return GST_FLOW_OK;
  }
  while (self->frames.length >= self->most) gst_buffer_unref(g_queue_pop_head(&self->frames));
  g_queue_push_tail(&self->frames, gst_buffer_copy_deep(buffer));
  self->taken_at = pts;
  ask(self);
  return GST_FLOW_OK;
}

static gboolean sink_event(GstBaseTransform* base, GstEvent* event) {
  TrmlSentiment* self = SELF(base);
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && self->queue != NULL) {
    post_answers(self, -1);
    forget_window(self);
  } else if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP && self->queue != NULL) {
    forget_all(self);
  }
  return GST_BASE_TRANSFORM_CLASS(trml_sentiment_parent_class)->sink_event(base, event);
}

static void set_text(gchar** to, const GValue* value) {
  g_free(*to);
  *to = g_value_dup_string(value);
  if (*to != NULL && **to == '\0') g_clear_pointer(to, g_free);
}

static void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  TrmlSentiment* self = SELF(object);
  GST_OBJECT_LOCK(self);
  switch (id) {
    case PROP_BUNDLE:
      set_text(&self->bundle, value);
      break;
    case PROP_BACKEND:
      set_text(&self->backend, value);
      break;
    case PROP_PRECISION:
      set_text(&self->precision, value);
      break;
    case PROP_TEXT:
      set_text(&self->text, value);
      break;
    case PROP_WINDOW:
      self->window = g_value_get_uint(value);
      break;
    case PROP_EVERY:
      self->every = g_value_get_double(value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
  GST_OBJECT_UNLOCK(self);
}

static void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
  TrmlSentiment* self = SELF(object);
  GST_OBJECT_LOCK(self);
  switch (id) {
    case PROP_BUNDLE:
      g_value_set_string(value, self->bundle);
      break;
    case PROP_BACKEND:
      g_value_set_string(value, self->backend);
      break;
    case PROP_PRECISION:
      g_value_set_string(value, self->precision);
      break;
    case PROP_TEXT:
      g_value_set_string(value, self->text);
      break;
    case PROP_WINDOW:
      g_value_set_uint(value, self->window);
      break;
    case PROP_EVERY:
      g_value_set_double(value, self->every);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
  GST_OBJECT_UNLOCK(self);
}

static void finalize(GObject* object) {
  TrmlSentiment* self = SELF(object);
  g_free(self->bundle);
  g_free(self->backend);
  g_free(self->precision);
  g_free(self->text);
  G_OBJECT_CLASS(trml_sentiment_parent_class)->finalize(object);
}

static void add_string(GObjectClass* object, guint id, const char* name, const char* what,
                       GParamFlags more) {
  g_object_class_install_property(
      object, id,
      g_param_spec_string(name, name, what, NULL,
                          G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | more));
}

static void trml_sentiment_class_init(TrmlSentimentClass* base) {
  GObjectClass* object = G_OBJECT_CLASS(base);
  GstElementClass* element = GST_ELEMENT_CLASS(base);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  add_string(object, PROP_BUNDLE, "bundle", "Folder of the bundle; unset: TRML_RT_BUNDLE",
             GST_PARAM_MUTABLE_READY);
  add_string(object, PROP_BACKEND, "backend", "auto, openvino or tensorrt; unset: auto",
             GST_PARAM_MUTABLE_READY);
  add_string(object, PROP_PRECISION, "precision", "fp32, fp16 or int8 engines; unset: what fits",
             GST_PARAM_MUTABLE_READY);
  add_string(object, PROP_TEXT, "text", "What is said meanwhile; unset: nothing",
             GST_PARAM_MUTABLE_PLAYING);
  g_object_class_install_property(
      object, PROP_WINDOW,
      g_param_spec_uint(
          "window", "window", "The most frames of an answer; 0: as many as the model takes", 0,
          MOST_FRAMES, 0, G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY));
  g_object_class_install_property(
      object, PROP_EVERY,
      g_param_spec_double(
          "every", "every", "Seconds between two frames that are taken, and two answers; 0: all", 0,
          3600, 0.5, G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING));
  gst_element_class_set_static_metadata(element, "Sentiment of video", "Analyzer/Video",
                                        "Posts the sentiment of the newest frames as messages",
                                        "trml_rt");
  gst_element_class_add_static_pad_template(element, &sink_template);
  gst_element_class_add_static_pad_template(element, &src_template);
  base->passthrough_on_same_caps = TRUE;
  base->transform_ip_on_passthrough = TRUE;
  base->start = start;
  base->stop = stop;
  base->set_caps = set_caps;
  base->sink_event = sink_event;
  base->transform_ip = transform_ip;
  GST_DEBUG_CATEGORY_INIT(trml_sentiment_debug, "trmlsentiment", 0, "sentiment of video");
}

static void trml_sentiment_init(TrmlSentiment* self) {
  self->every = 0.5;
  self->taken_at = GST_CLOCK_TIME_NONE;
  g_queue_init(&self->frames);
}

static gboolean plugin_init(GstPlugin* plugin) {
  return gst_element_register(plugin, "trmlsentiment", GST_RANK_NONE, trml_sentiment_get_type());
}

#define PACKAGE "trml_rt"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, trml, "Sentiment of video and text",
                  plugin_init, TRML_RT_VERSION, GST_LICENSE_UNKNOWN, "trml_rt", "trml_rt")
