/* Answer on texts, a line each, in C:  trml_rt_ask bundle/ < lines.txt */
#include <stdio.h>
#include <string.h>
#include <trml_rt/trml_rt.h>

int main(int count, char** arguments) {
  trml_rt_options options = {sizeof options};
  trml_rt* rt = NULL;
  char line[4096];
  int failed = 0;
  if (count != 2) {
    fprintf(stderr, "usage: %s bundle/ < lines.txt\n", arguments[0]);
    return TRML_RT_USAGE;
  }
  options.bundle = arguments[1];
  if (trml_rt_open(&options, &rt) != TRML_RT_OK) {
    fprintf(stderr, "%s\n", trml_rt_last_error());
    return 1;
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    trml_rt_sample sample = {sizeof sample};
    trml_rt_result* result = NULL;
    sample.text = line;
    sample.text_length = strcspn(line, "\n");
    if (sample.text_length == 0) continue;
    if (trml_rt_infer(rt, &sample, 0, &result) != TRML_RT_OK) {
      fprintf(stderr, "%s\n", trml_rt_last_error()); /* one line that cannot be used; go on */
      failed = 1;
      continue;
    }
    printf("%-10s ", trml_rt_result_label(result));
    if (trml_rt_result_probability_count(result) > 0) { /* a classifier's score is a probability */
      printf("%.1f %%", 100 * trml_rt_result_score(result));
    } else {
      printf("%+.3f", trml_rt_result_score(result));
    }
    printf("  %.2f ms\n", trml_rt_result_ms(result, "total"));
    trml_rt_result_free(result);
  }
  trml_rt_close(rt);
  return failed;
}
