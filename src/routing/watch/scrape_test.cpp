#include "routing/watch/scrape.hpp"

#include <gtest/gtest.h>

#include "routing/watch/scraper.hpp"

namespace baton::watch {
namespace {

const schedule::EngineMetrics& engine(std::string_view name) {
  return engine_named(schedule::built_in_engines(), name, "vllm");
}
Scraped vllm(std::string_view text) { return read_metrics(text, engine("vllm")); }

TEST(Scrape, ReadsTheEngineNumbers) {
  const auto scraped = vllm(
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n"
      "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} 2.0\n"
      "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} 0.031\n"
      "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\",num_gpu_blocks=\"1024\"} 1.0\n"
      "python_gc_objects_collected_total{generation=\"0\"} 1.0\n");

  EXPECT_EQ(scraped.running, 3);
  EXPECT_EQ(scraped.waiting, 2);
  EXPECT_FLOAT_EQ(*scraped.kv_usage, 0.031F);
  EXPECT_EQ(scraped.block_size, 16);
  EXPECT_EQ(scraped.blocks, 1024);
}

TEST(Scrape, SumsTheEnginesOfOneServer) {
  const auto scraped = vllm(
      "vllm:num_requests_waiting{engine=\"0\"} 2\nvllm:num_requests_waiting{engine=\"1\"} 5\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.7\n");

  EXPECT_EQ(scraped.waiting, 7);
  EXPECT_FLOAT_EQ(*scraped.kv_usage, 0.7F);
}

TEST(Scrape, ReadsTheNewestListOfAdapters) {
  const auto scraped = vllm(
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"old\","
      "waiting_lora_adapters=\"\"} 1.0\n"
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"a, b\","
      "waiting_lora_adapters=\"c\"} 3.0\n"
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"x\","
      "waiting_lora_adapters=\"\"} 2.0\n");
  ASSERT_NE(scraped.adapters, nullptr);
  EXPECT_EQ(*scraped.adapters,
            (schedule::Adapters{.active = {"a", "b"}, .waiting = {"c"}, .most = 4}));
  EXPECT_EQ(vllm("vllm:num_requests_waiting 1\n").adapters, nullptr);
}

TEST(Scrape, ReadsEachBuiltInEngineByItsOwnNames) {  // epp:L007
  struct Case {
    const char *name, *text;
  };
  const Case cases[] = {
      {"sglang",
       "sglang:num_queue_reqs{model_name=\"m\"} 2\nsglang:num_running_reqs 3\nsglang:token_usage "
       "0.5\nsglang:cache_config_info{num_pages=\"100\",page_size=\"64\"} 1\n"},
      {"trtllm-serve",
       "trtllm_num_requests_waiting 2\ntrtllm_num_requests_running 3\ntrtllm_kv_cache_utilization "
       "0.5\ntrtllm_kv_cache_tokens_per_block 64\ntrtllm_kv_cache_max_blocks 100\n"},
      {"triton-tensorrt-llm",
       "nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\"} 2\n"
       "nv_trt_llm_request_metrics{request_type=\"scheduled\"} 3\n"
       "nv_trt_llm_request_metrics{request_type=\"max\"} 9\n"
       "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.5\n"
       "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\"} 64\n"
       "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"} 100\n"},
  };
  for (const auto& [name, text] : cases) {
    const auto scraped = read_metrics(text, engine(name));
    EXPECT_EQ(scraped.waiting, 2) << name;
    EXPECT_EQ(scraped.running, 3) << name;
    EXPECT_EQ(scraped.kv_usage, 0.5F) << name;
    EXPECT_EQ(scraped.block_size, 64) << name;
    EXPECT_EQ(scraped.blocks, 100) << name;
    EXPECT_EQ(scraped.missing, 0U) << name;
    EXPECT_FALSE(vllm(text).any()) << name;
    EXPECT_EQ(vllm(text).missing, 3U) << name;
  }
  const auto triton = read_metrics(
      "nv_inference_pending_request_count 2\nnv_inference_exec_count 3\n", engine("triton"));
  EXPECT_EQ(triton.waiting, 2);
  EXPECT_FALSE(triton.kv_usage);
  EXPECT_EQ(triton.missing, 0U);
  EXPECT_EQ(engine("unheard-of").name, "vllm");
}

TEST(Scrape, AnEngineWithoutAdaptersLacksNothing) {  // epp:L007
  const auto scraped = vllm(
      "vllm:num_requests_waiting 1\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc 0\n");
  EXPECT_EQ(scraped.missing, 0U);
  EXPECT_EQ(scraped.adapters, nullptr);
  EXPECT_EQ(vllm("vllm:num_requests_waiting 1\n").missing, 2U);
}

TEST(Scrape, ASourcesIntervalIsAWholeNumberOfTicks) {  // epp:L009
  const auto every = [](int wanted) { return rounded_interval(Millis(50), Millis(wanted)); };
  EXPECT_EQ(every(0), Millis(50));
  EXPECT_EQ(every(20), Millis(50));
  EXPECT_EQ(every(1000), Millis(1000));
  EXPECT_EQ(every(120), Millis(100));
  EXPECT_EQ(every(130), Millis(150));
}

TEST(Scrape, PassesOverWhatMakesNoSense) {
  const auto scraped = vllm(
      "vllm:num_requests_waiting NaN\nvllm:num_requests_running -1\nvllm:\n{}\n"
      "vllm:cache_config_info{block_size=\"sixteen\"} 1\nvllm:kv_cache_usage_perc");

  EXPECT_FALSE(scraped.any());
  EXPECT_FALSE(scraped.block_size);
}

}  // namespace
}  // namespace baton::watch
