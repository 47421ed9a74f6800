#include "engine/model/safetensors.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "base/core/testing/temporary_folder.hpp"
#include "engine/model/model.hpp"
#include "engine/model/testing/random_model.hpp"

namespace baton::model {
namespace {

std::string file_of(const std::string& header, std::size_t data) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>((header.size() >> (8 * i)) & 0xff);
  return out + header + std::string(data, '\0');
}

Result<std::vector<TensorInfo>> parse(const std::string& file) {
  return parse_tensor_table(std::as_bytes(std::span(file.data(), file.size())), file.size());
}

std::string refusal(const std::string& header, std::size_t data) {
  const auto table = parse(file_of(header, data));
  return table ? "accepted" : table.error().message();
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST(Safetensors, ListsTensorsInOrderOfTheirData) {
  const auto table = parse(file_of(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[6,14]},
          "a":{"dtype":"BF16","shape":[3,1],"data_offsets":[0,6]}})",
      14));

  ASSERT_TRUE(table) << table.error().message();
  ASSERT_EQ(table->size(), 2U);
  EXPECT_EQ((*table)[0].name, "a");
  EXPECT_EQ((*table)[0].shape, (std::vector<std::uint64_t>{3, 1}));
  EXPECT_EQ((*table)[1].end - (*table)[1].begin, 8U);
}

TEST(Safetensors, RefusesMalformedTables) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                        "b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                    6),
            "tensor 'b' overlaps the one before it");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3),
            "tensor 'a': ends at byte 4 of the data, but the file holds 3: is it truncated?");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5),
            "1 unused bytes after the last tensor");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,4]}})", 4),
            "tensor 'a': is F32 [2, 2], but its data is 4 bytes");
  EXPECT_EQ(
      refusal(R"({"a":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0),
      "tensor 'a': is F64 [4611686018427387904, 4], but its data is 0 bytes");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}})", 1),
            "tensor 'a': has the unknown dtype 'Q4'");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1),
            "tensor 'a': data_offsets is not [begin, end]");
  EXPECT_EQ(refusal(R"({"a":1,"a":2})", 0), "duplicate key 'a'");
  EXPECT_EQ(refusal("[]", 0), "header is not a JSON object");
}

TEST(Safetensors, RefusesAHeaderBeyondTheLimitOrTheFile) {
  std::string file = file_of("{}", 0);
  file[4] = 1;
  EXPECT_EQ(parse(file).error().message(), "header of 4294967298 bytes; at most 100000000");
  EXPECT_EQ(parse(file_of("{}", 0).substr(0, 9)).error().message(),
            "header of 2 bytes in a file of 9: is it truncated?");
  EXPECT_EQ(parse("abc").error().message(), "3 bytes are too few for a safetensors header");
}

TEST(Checkpoint, NamesTheShardThatIsMissingAndRefusesPathsInTheIndex) {
  const TemporaryFolder folder;
  write(folder.path() / "model.safetensors.index.json",
        R"({"weight_map":{"a":"one.safetensors"}})");
  const auto missing = Checkpoint::open(folder.path());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find("one.safetensors: No such file"), std::string::npos);

  write(folder.path() / "model.safetensors.index.json", R"({"weight_map":{"a":"../one"}})");
  EXPECT_NE(Checkpoint::open(folder.path())
                .error()
                .message()
                .find("weight_map gives no file name for tensor 'a'"),
            std::string::npos);
}

TEST(Checkpoint, SaysWhatAFolderWithoutWeightsLacks) {
  const TemporaryFolder folder;
  EXPECT_EQ(
      Checkpoint::open(folder.path()).error().message(),
      folder.path().string() + " has neither model.safetensors nor model.safetensors.index.json");
}

// Loads the small model under a changed config.
std::string load_error(void (*change)(Config&)) {
  const TemporaryFolder folder;
  Config config = testing::small_config();
  EXPECT_TRUE(testing::write_random_model(folder.path(), config, tensor::Dtype::kF32, 1));
  const std::filesystem::path weights = folder.path() / "model.safetensors";
  std::filesystem::rename(weights, folder.path() / "kept");
  change(config);
  EXPECT_TRUE(testing::write_random_model(folder.path(), config, tensor::Dtype::kF32, 1));
  std::filesystem::rename(folder.path() / "kept", weights);
  const auto model = Model::load(folder.path(), {});
  return model ? "loaded" : model.error().message().substr(folder.path().string().size());
}

TEST(Weights, NamesTheTensorThatIsMissingMisshapenOrTooMany) {
  EXPECT_EQ(load_error([](Config& c) { c.layers = 3; }),
            ": no tensor 'model.layers.2.input_layernorm.weight'");
  EXPECT_EQ(load_error([](Config& c) { c.ffn = 72; }),
            ": tensor 'model.layers.0.mlp.gate_proj.weight' in model.safetensors is [70, 44]; "
            "config.json makes it [72, 44]");
  EXPECT_EQ(load_error([](Config& c) { c.layers = 1; }),
            ": tensor 'model.layers.1.input_layernorm.weight' in model.safetensors has no place in "
            "the model of config.json");
}

TEST(Weights, ATruncatedFileIsAnErrorThatNamesIt) {
  const TemporaryFolder folder;
  ASSERT_TRUE(
      testing::write_random_model(folder.path(), testing::small_config(), tensor::Dtype::kBf16, 1));
  const std::filesystem::path file = folder.path() / "model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 100);

  const auto model = Model::load(folder.path(), {});

  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code(), Code::kInvalid);
  EXPECT_NE(model.error().message().find("model.safetensors: tensor '"), std::string::npos);
  EXPECT_NE(model.error().message().find("is it truncated?"), std::string::npos);
}

}  // namespace
}  // namespace baton::model
