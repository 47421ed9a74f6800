#include "routing/watch/scrape.hpp"

#include <gtest/gtest.h>

namespace baton::watch {
namespace {

TEST(Scrape, ReadsTheEngineNumbers) {
  const auto scraped = read_metrics(
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
  const auto scraped = read_metrics(
      "vllm:num_requests_waiting{engine=\"0\"} 2\nvllm:num_requests_waiting{engine=\"1\"} 5\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.7\n");

  EXPECT_EQ(scraped.waiting, 7);
  EXPECT_FLOAT_EQ(*scraped.kv_usage, 0.7F);
}

TEST(Scrape, ReadsTheNewestListOfAdapters) {
  const auto scraped = read_metrics(
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"old\","
      "waiting_lora_adapters=\"\"} 1.0\n"
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"a, b\","
      "waiting_lora_adapters=\"c\"} 3.0\n"
      "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"x\","
      "waiting_lora_adapters=\"\"} 2.0\n");
  ASSERT_NE(scraped.adapters, nullptr);
  EXPECT_EQ(*scraped.adapters,
            (schedule::Adapters{.active = {"a", "b"}, .waiting = {"c"}, .most = 4}));
  EXPECT_EQ(read_metrics("vllm:num_requests_waiting 1\n").adapters, nullptr);
}

TEST(Scrape, PassesOverWhatMakesNoSense) {
  const auto scraped = read_metrics(
      "vllm:num_requests_waiting NaN\nvllm:num_requests_running -1\nvllm:\n{}\n"
      "vllm:cache_config_info{block_size=\"sixteen\"} 1\nvllm:kv_cache_usage_perc");

  EXPECT_FALSE(scraped.any());
  EXPECT_FALSE(scraped.block_size);
}

}  // namespace
}  // namespace baton::watch
