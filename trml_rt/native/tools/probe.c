/* Whether this machine is fit for the library and a bundle, and why not:
 *
 *     trml-rt-probe [--backend NAME] [--precision NAME] [--json] [BUNDLE]
 *
 * Ends with 3 where it is not, as `trml-rt doctor` does. */
#include <stdio.h>
#include <string.h>
#include <trml_rt/trml_rt.h>

/* A name from a bundle or a path must not move the cursor, or begin a line of its own. */
static void print(const char* text, int json) {
  const unsigned char* c = (const unsigned char*)text;
  const char* escape = json ? "\\u%04x" : "\\x%02x";
  for (; *c != 0; ++c) {
    if (*c < 0x20 || *c == 0x7f) {
      printf(escape, *c);
    } else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) { /* U+0080 to U+009F */
      printf(escape, *++c);
    } else {
      putchar(*c);
    }
  }
}

static int usage(FILE* to) {
  fprintf(to,
          "usage: trml-rt-probe [--backend auto|openvino|tensorrt] [--precision fp32|fp16|int8] "
          "[--json] [BUNDLE]\n");
  return to == stdout ? 0 : TRML_RT_USAGE;
}

int main(int count, char** arguments) {
  trml_rt_options options = {0};
  trml_rt_report* report = NULL;
  trml_rt_status status;
  int json = 0, fit, i;
  size_t number;
  options.struct_size = sizeof options;
  for (i = 1; i < count; ++i) {
    const char* word = arguments[i];
    if (strcmp(word, "--json") == 0) {
      json = 1;
    } else if (strcmp(word, "--backend") == 0 && i + 1 < count) {
      options.backend = arguments[++i];
    } else if (strcmp(word, "--precision") == 0 && i + 1 < count) {
      options.precision = arguments[++i];
    } else if (word[0] != '-' && options.bundle == NULL) {
      options.bundle = word;
    } else {
      return usage(strcmp(word, "--help") == 0 ? stdout : stderr);
    }
  }
  status = trml_rt_probe(&options, &report);
  if (status != TRML_RT_OK) {
    fprintf(stderr, "trml-rt-probe: %s\n", trml_rt_last_error());
    return (int)status;
  }
  fit = trml_rt_report_fit(report);
  if (json) {
    print(trml_rt_report_json(report), 1);
    putchar('\n');
  }
  for (number = 0; !json && number < trml_rt_report_count(report); ++number) {
    trml_rt_check check = {0};
    check.struct_size = sizeof check;
    trml_rt_report_check(report, number, &check);
    printf("%-8s ", check.ok ? "ok" : check.required ? "MISSING" : "absent");
    print(check.name, 0);
    fputs(": ", stdout);
    print(check.found, 0);
    if (check.remedy != NULL) {
      fputs("  (", stdout);
      print(check.remedy, 0);
      putchar(')');
    }
    putchar('\n');
  }
  if (!json) puts(fit ? "fit" : "not fit");
  trml_rt_report_free(report);
  if (fflush(stdout) != 0) return TRML_RT_ENVIRONMENT; /* nobody could read it */
  return fit ? 0 : TRML_RT_ENVIRONMENT;
}
