// Resize, crop and convert frames on a GPU, to the bit as it is done on a CPU: the same integer
// weights, rounded to bytes between the two directions, as Pillow does.
//
// NVRTC compiles this text where a frame in CUDA memory comes, for Python and for the native
// library. Their tests compile it as C++ for the host. It has not run on a GPU yet.

// A frame of any format. With `uv`, `data` is a plane of Y, and U and V follow in turn at half
// size.
struct Frame {
  const unsigned char* data;
  const unsigned char* uv;
  long long stride, uv_stride;  // bytes from row to row
  int width, height;
  int bytes, red, green, blue;  // of a pixel, and where in it the colours are
  // In 20 bits of fraction, levels of RGB: of a level of Y, and of an eighth of one of U and V.
  int luma, r_v, g_u, g_v, b_u;
};

// One direction. Only those places of the result have weights that show the picture.
struct Places {
  const int* first;    // the first pixel of the frame that counts for a place
  const int* count;    // how many count
  const int* weights;  // in 22 bits of fraction, `widest` a place
  int widest;
  int start, stop;    // the pixels of the frame that count at all
  int size;           // places that show the picture
  int begin, length;  // where they begin in the result, and how long that is
};

#if defined(__CUDACC__) || defined(TRML_RT_KERNELS_ON_HOST)

__device__ static unsigned char to_byte(int level) {
  return (unsigned char)(level < 0 ? 0 : level > 255 ? 255 : level);
}

// U or V (`part` 1) at a pixel, in eighths of a level. They lie between two rows, and on every
// second column, as MPEG-2 and H.264 have them; between them they are interpolated.
__device__ static int chroma(const Frame& frame, int x, int y, int part) {
  const int last_row = (frame.height - 1) / 2, last_column = (frame.width - 1) / 2;
  const int near = y / 2, other = y % 2 ? near + 1 : near - 1;
  const unsigned char* a = frame.uv + near * frame.uv_stride + part;
  const unsigned char* b = frame.uv +
                           (other < 0          ? 0
                            : other > last_row ? last_row
                                               : other) *
                               frame.uv_stride +
                           part;
  const int left = x / 2, next = left + x % 2, right = next > last_column ? last_column : next;
  return 3 * a[left * 2] + b[left * 2] + 3 * a[right * 2] + b[right * 2] - 8 * 128;
}

__device__ static void pixel(const Frame& frame, int x, int y, int* rgb) {
  const unsigned char* at = frame.data + y * frame.stride + (long long)x * frame.bytes;
  if (frame.uv == 0) {
    rgb[0] = at[frame.red], rgb[1] = at[frame.green], rgb[2] = at[frame.blue];
    return;
  }
  const int level = frame.luma * (at[0] - 16) + (1 << 19);
  const int u = chroma(frame, x, y, 0), v = chroma(frame, x, y, 1);
  rgb[0] = to_byte((level + frame.r_v * v) >> 20);
  rgb[1] = to_byte((level + frame.g_u * u + frame.g_v * v) >> 20);
  rgb[2] = to_byte((level + frame.b_u * u) >> 20);
}

// Resize one direction: all that the other one needs, a thread a place. It is rows, or columns
// where `down_first`. `between` is packed RGB, `first.size` wide.
extern "C" __global__ void trml_rt_first_pass(Frame frame, Places first, Places second,
                                              int down_first, unsigned char* between) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= first.size || j >= second.stop - second.start) return;
  const int* weights = first.weights + (long long)i * first.widest;
  const int beside = second.start + j;
  int sums[3] = {1 << 21, 1 << 21, 1 << 21}, rgb[3];
  for (int k = 0; k < first.count[i]; ++k) {
    const int along = first.first[i] + k;
    pixel(frame, down_first ? beside : along, down_first ? along : beside, rgb);
    for (int c = 0; c < 3; ++c) sums[c] += rgb[c] * weights[k];
  }
  unsigned char* out = between + ((long long)j * first.size + i) * 3;
  for (int c = 0; c < 3; ++c) out[c] = to_byte(sums[c] >> 22);
}

// Resize the other direction, and pad with `fill`. `out` is packed RGB, as the model takes it.
extern "C" __global__ void trml_rt_second_pass(const unsigned char* between, Places first,
                                               Places second, int down_first, int fill,
                                               unsigned char* out) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  const int width = down_first ? second.length : first.length;
  if (x >= width || y >= (down_first ? first.length : second.length)) return;
  out += ((long long)y * width + x) * 3;
  const int i = (down_first ? y : x) - first.begin, j = (down_first ? x : y) - second.begin;
  if (i < 0 || i >= first.size || j < 0 || j >= second.size) {
    out[0] = out[1] = out[2] = (unsigned char)fill;
    return;
  }
  const int* weights = second.weights + (long long)j * second.widest;
  const long long start = second.first[j] - second.start;
  for (int c = 0; c < 3; ++c) {
    int sum = 1 << 21;
    for (int k = 0; k < second.count[j]; ++k) {
      sum += between[((start + k) * first.size + i) * 3 + c] * weights[k];
    }
    out[c] = to_byte(sum >> 22);
  }
}

#endif
