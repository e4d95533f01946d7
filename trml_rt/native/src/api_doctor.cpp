// The C functions of trml_rt_probe.
#include "api.hpp"
#include "doctor.hpp"

using namespace trml::core;

namespace {

using Reports = Handles<trml_rt_report, Diagnosis, Kind::report>;

}  // namespace

extern "C" {

trml_rt_status trml_rt_probe(const trml_rt_options* options, trml_rt_report** out) {
  return guarded([&] {
    if (out == nullptr) throw UsageError("out is NULL; pass the address of a report");
    *out = nullptr;
    const auto read = options == nullptr ? Options() : read_options(options);
    *out = Reports::add(std::make_shared<Diagnosis>(diagnose(read)));
  });
}

int32_t trml_rt_report_fit(const trml_rt_report* report) {
  const auto found = Reports::find(report);
  return found && found->fit;
}

size_t trml_rt_report_count(const trml_rt_report* report) {
  const auto found = Reports::find(report);
  return found ? found->checks.size() : 0;
}

trml_rt_status trml_rt_report_check(const trml_rt_report* report, size_t index,
                                    trml_rt_check* check) {
  return guarded([&] {
    if (report == nullptr || check == nullptr || check->struct_size < sizeof check->struct_size ||
        check->struct_size > largest_struct) {
      throw UsageError("the report or check is NULL, or check's struct_size is not set");
    }
    const auto found = Reports::get(report, "this report");
    if (index >= found->checks.size()) {
      throw UsageError("there is no check " + std::to_string(index) + ": the report has " +
                       std::to_string(found->checks.size()));
    }
    const Check& each = found->checks[index];
    trml_rt_check full{};
    full.struct_size = check->struct_size;
    full.name = each.name.c_str();
    full.found = each.found.c_str();
    full.remedy = each.remedy ? each.remedy->c_str() : nullptr;
    full.ok = each.ok;
    full.required = each.required;
    std::memcpy(check, &full, std::min(full.struct_size, sizeof full));
  });
}

const char* trml_rt_report_json(const trml_rt_report* report) {
  const auto found = Reports::find(report);
  return found ? found->json.c_str() : nullptr;
}

trml_rt_status trml_rt_report_free(trml_rt_report* report) {
  return guarded([&] {
    if (report != nullptr) Reports::take(report, "this report");
  });
}

}  // extern "C"
