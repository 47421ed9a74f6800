// Names, addresses, answers and statuses of a hub: what is pure.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/hub/blob.hpp"
#include "net/hub/digest.hpp"
#include "net/hub/listing.hpp"
#include "net/hub/model_id.hpp"
#include "net/hub/transport.hpp"
#include "net/hub/url.hpp"

namespace baton::hub {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kSha(64, 'a');
const std::string kGit(40, 'b');

TEST(ModelName, HasAnOrganisationANameAndMaybeARevision) {
  EXPECT_EQ(*parse_model_id("hf://org/name"), (ModelId{"org/name", "main"}));
  EXPECT_EQ(*parse_model_id("Qwen/Qwen2.5-0.5B_x"), (ModelId{"Qwen/Qwen2.5-0.5B_x", "main"}));
  EXPECT_EQ(*parse_model_id("hf://org/name@refs/pr/3"), (ModelId{"org/name", "refs/pr/3"}));
  EXPECT_EQ(*parse_model_id("hf://org/name:v1.0"), (ModelId{"org/name", "v1.0"}));
  EXPECT_EQ(*parse_model_id("hf://gpt2/"), (ModelId{"gpt2", "main"}));
}

TEST(ModelName, IsRefusedWhenItCouldBeAnotherPath) {
  for (const char* text :
       {"", "hf://", "../x", "a/..", "a/b/c", "a//b", "/a", "a/b@", "a/b@../x", "a/b@/x", "a/.b",
        "a/b--c", "-a/b", "a b/c", "a/b@x//y", "a\\b", "a/b?x", "a/b%2e"}) {
    EXPECT_FALSE(parse_model_id(text)) << text;
  }
  EXPECT_FALSE(parse_model_id("a/" + std::string(kMaxName, 'x')));
}

TEST(HubUrl, IsReadAndWritten) {
  const auto url = parse_url("HTTPS://Example.org/a/b?c=d#e");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->endpoint, (http::Endpoint{"example.org", 443}));
  EXPECT_EQ(to_string(*url), "https://example.org/a/b?c=d");
  EXPECT_EQ(host_header(*parse_url("http://[::1]:8000/x")), "[::1]:8000");
  EXPECT_EQ(to_string(*parse_url("http://a?b")), "http://a/?b");
  for (const char* text : {"", "a/b", "ftp://a", "http://", "http://u@a/", "http://a b/",
                           "http://a:0x/", "http://a\r\nX: y/"}) {
    EXPECT_FALSE(parse_url(text)) << text;
  }
}

TEST(HubUrl, RedirectsAreAbsoluteOrRelative) {
  const auto base = *parse_url("https://a.org/x/y/z?q=1");
  const auto to = [&](std::string_view reference) { return to_string(*resolve(base, reference)); };
  EXPECT_EQ(to("https://b.org/c"), "https://b.org/c");
  EXPECT_EQ(to("//b.org/c"), "https://b.org/c");
  EXPECT_EQ(to("/c?d"), "https://a.org/c?d");
  EXPECT_EQ(to("c"), "https://a.org/x/y/c");
  EXPECT_EQ(to("../c/./d"), "https://a.org/x/c/d");
  EXPECT_EQ(to("../../../../c"), "https://a.org/c");
  EXPECT_EQ(to("?r=2"), "https://a.org/x/y/z?r=2");
  EXPECT_EQ(to("/c?u=http://d/e"), "https://a.org/c?u=http://d/e");
  EXPECT_FALSE(resolve(base, ""));
  EXPECT_FALSE(resolve(base, "/a b"));
}

TEST(HubUrl, OnlySchemeHostAndPortTogetherAreOneOrigin) {
  const auto url = *parse_url("https://a.org/x");
  EXPECT_TRUE(same_origin(url, *parse_url("https://a.org:443/y")));
  for (const char* other : {"http://a.org/x", "https://a.org:8443/x", "https://b.a.org/x"}) {
    EXPECT_FALSE(same_origin(url, *parse_url(other))) << other;
  }
}

TEST(HubUrl, TheNextPageIsALink) {
  EXPECT_EQ(next_link(R"(<https://a/p?cursor=x>; rel="next")"), "https://a/p?cursor=x");
  EXPECT_EQ(next_link(R"(<https://a/1>; rel="prev", </2>; rel="next")"), "/2");
  EXPECT_EQ(next_link("<https://a"), "");
  EXPECT_EQ(next_link(""), "");
}

TEST(HubDigest, IsSha256OrGitsOwn) {
  Digest sha(DigestKind::kSha256, 5);
  sha.add("hel");
  sha.add("lo");
  EXPECT_EQ(sha.finish(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  Digest git(DigestKind::kGitBlob, 6);
  git.add("hello\n");
  EXPECT_EQ(git.finish(), "ce013625030ba8dba906f756967f9e9ca394464a");  // git hash-object
}

std::string entry(std::string_view path, std::string_view rest) {
  return std::string(R"({"type":"file","path":")") + std::string(path) + R"(",)" +
         std::string(rest) + "}";
}

TEST(HubListing, TellsEachFilesSizeAndHash) {
  std::vector<RemoteFile> files;
  const auto page =
      "[" + entry("config.json", R"("size":12,"oid":")" + kGit + "\"") +
      R"(,{"type":"directory","path":"onnx","oid":"x","size":0},)" +
      entry("model.safetensors", R"("size":99,"oid":")" + kGit + R"(","lfs":{"oid":")" + kSha +
                                     R"(","size":99,"pointerSize":134})") +
      "]";

  ASSERT_TRUE(read_tree(page, files));

  EXPECT_THAT(files, ElementsAre(RemoteFile{"config.json", 12, DigestKind::kGitBlob, kGit},
                                 RemoteFile{"model.safetensors", 99, DigestKind::kSha256, kSha}));
}

TEST(HubListing, AFileThatWouldLeaveItsFolderIsRefused) {
  for (const char* path :
       {"../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/.", "a\\\\b", "a\\nb", "", "a/"}) {
    std::vector<RemoteFile> files;
    const auto read =
        read_tree("[" + entry(path, R"("size":1,"oid":")" + kGit + "\"") + "]", files);
    EXPECT_FALSE(read) << path;
  }
}

TEST(HubListing, SizesAndHashesMustMakeSense) {
  for (const std::string& rest :
       {std::string(R"("size":1,"oid":"../../x")"), R"("size":-1,"oid":")" + kGit + "\"",
        R"("size":1e30,"oid":")" + kGit + "\"", R"("oid":")" + kGit + "\"",
        R"("size":1,"oid":")" + kSha + "\"",
        R"("size":1,"oid":")" + kGit + R"(","lfs":{"oid":"x","size":1})"}) {
    std::vector<RemoteFile> files;
    EXPECT_FALSE(read_tree("[" + entry("a", rest) + "]", files)) << rest;
  }
  std::vector<RemoteFile> files;
  EXPECT_FALSE(read_tree("{}", files));
  EXPECT_FALSE(read_commit("{}"));
  EXPECT_FALSE(read_commit(R"({"sha":"main"})"));
  EXPECT_EQ(*read_commit(R"({"sha":")" + kGit + "\"}"), kGit);
}

std::vector<RemoteFile> named(std::initializer_list<std::string_view> names) {
  std::vector<RemoteFile> out;
  for (const auto name : names) out.push_back({std::string(name), 1, DigestKind::kGitBlob, kGit});
  return out;
}
std::vector<std::string> names_of(const std::vector<RemoteFile>& files) {
  std::vector<std::string> out;
  for (const auto& file : files) out.push_back(file.path);
  return out;
}

TEST(NeededFiles, AreConfigurationTokenizerAndTemplateAtTheRoot) {
  const auto files = named({".gitattributes", "README.md", "config.json", "chat_template.jinja",
                            "modeling_x.py", "onnx/config.json", "tokenizer.json", "model.bin"});

  EXPECT_THAT(names_of(*small_files(files)),
              ElementsAre("config.json", "chat_template.jinja", "tokenizer.json"));
  EXPECT_THAT(small_files(named({"model.safetensors"})).error().message(),
              HasSubstr("no config.json"));
  auto huge = named({"config.json"});
  huge[0].size = kMaxSmallFile + 1;
  EXPECT_FALSE(small_files(huge));
}

TEST(NeededFiles, AreTheIndexsShardsOrTheOnlyWeights) {
  const auto files = named({"model-1.safetensors", "model-2.safetensors", "model-3.safetensors"});
  EXPECT_THAT(names_of(*weight_files(files, {"model-1.safetensors", "model-3.safetensors"})),
              ElementsAre("model-1.safetensors", "model-3.safetensors"));
  EXPECT_THAT(weight_files(files, {"model-4.safetensors"}).error().message(),
              HasSubstr("names model-4.safetensors"));
  EXPECT_THAT(names_of(*weight_files(named({"consolidated.safetensors", "model.safetensors",
                                            "x/model.safetensors", "other.safetensors"}),
                                     {})),
              ElementsAre("model.safetensors"));
  EXPECT_THAT(names_of(*weight_files(named({"consolidated.safetensors", "a.safetensors"}), {})),
              ElementsAre("a.safetensors"));
  EXPECT_THAT(weight_files(named({"pytorch_model.bin"}), {}).error().message(),
              HasSubstr("only pytorch_model.bin"));
}

TEST(ShardIndex, NamesEachFileOnceAndNoneElsewhere) {
  EXPECT_THAT(*read_index(R"({"weight_map":{"a":"x.safetensors","b":"x.safetensors"}})"),
              ElementsAre("x.safetensors"));
  for (const char* text : {R"({"weight_map":{"a":"../x"}})", R"({"weight_map":{"a":"d/x"}})",
                           R"({"weight_map":{"a":1}})", R"({"weight_map":{}})", "{}", "[]", ""}) {
    EXPECT_FALSE(read_index(text)) << text;
  }
}

TEST(ContentRange, SaysWhereAPieceBegins) {
  const auto piece = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->first, 5);
  EXPECT_EQ(piece->total, 10);
  for (const char* text : {"", "bytes */10", "bytes 5-9/*", "bytes 9-5/10", "bytes 5-10/10",
                           "5-9/10", "bytes -9/10", "bytes 5/10"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(RetryAfter, IsSecondsOrADate) {
  const Wall now{std::chrono::seconds(784'111'777)};  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(retry_after("120", now), std::chrono::seconds(120));
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), std::chrono::seconds(60));
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Nanos(0));
  EXPECT_LT(*retry_after("99999999999999", now), std::chrono::hours(24 * 8));
  for (const char* text : {"", "soon", "-1", "1.5"}) EXPECT_FALSE(retry_after(text, now)) << text;
}

Trouble trouble(int status, http::Headers headers = {}, bool has_token = false) {
  return trouble_of_status({status, std::move(headers)}, *parse_url("https://h/x"), "org/name",
                           has_token, {});
}

TEST(HubStatus, SaysWhatToDo) {
  EXPECT_EQ(trouble(401).error.code(), Code::kDenied);
  EXPECT_THAT(trouble(401).error.message(), HasSubstr("org/name needs HF_TOKEN"));
  EXPECT_THAT(trouble(401, {}, true).error.message(), HasSubstr("HF_TOKEN is not good for"));
  EXPECT_THAT(trouble(403, {}, true).error.message(), HasSubstr("accept its conditions"));
  EXPECT_EQ(trouble(404).error.code(), Code::kNotFound);
  EXPECT_THAT(trouble(404, {{"X-Error-Code", "RevisionNotFound"}}).error.message(),
              HasSubstr("no such revision"));
  EXPECT_THAT(trouble(404, {{"X-Error-Message", "gone\x1b[31m"}}).error.message(),
              HasSubstr("h: gone [31m"));  // nothing for the terminal
  EXPECT_EQ(trouble(404).again, Trouble::Again::kNo);
}

TEST(HubStatus, OfAServerThatIsBusyOrBrokenMayChange) {
  EXPECT_EQ(trouble(503).again, Trouble::Again::kYes);
  const auto busy = trouble(429, {{"Retry-After", "7"}});
  EXPECT_EQ(busy.again, Trouble::Again::kYes);
  EXPECT_EQ(busy.error.code(), Code::kExhausted);
  EXPECT_EQ(busy.wait, std::chrono::seconds(7));
}

TEST(HubPatience, WaitsLongerEachTimeAndStartsAnewAfterProgress) {
  std::vector<Nanos> waits;
  Patience patience({.tries = 3, .sleep = [&](Nanos time) { waits.push_back(time); }});
  const Trouble again{unavailable("x"), Trouble::Again::kYes};

  EXPECT_TRUE(patience.wait_after(again));
  EXPECT_TRUE(patience.wait_after(again));
  patience.progressed();
  EXPECT_TRUE(patience.wait_after(again));
  EXPECT_TRUE(patience.wait_after(again));
  EXPECT_FALSE(patience.wait_after(again));

  EXPECT_THAT(waits, ElementsAre(Millis(500), Millis(1000), Millis(500), Millis(1000)));
}

TEST(HubPatience, WaitsAsLongAsTheHubAsksWithinReason) {
  std::vector<Nanos> waits;
  Patience patience({.sleep = [&](Nanos time) { waits.push_back(time); }});
  EXPECT_TRUE(
      patience.wait_after({exhausted("x"), Trouble::Again::kYes, std::chrono::seconds(30)}));
  EXPECT_THAT(waits, ElementsAre(std::chrono::seconds(30)));
  EXPECT_THAT(patience.wait_after({exhausted("x"), Trouble::Again::kYes, std::chrono::hours(1)})
                  .error()
                  .message(),
              HasSubstr("come again in 3600 s"));
  EXPECT_FALSE(patience.wait_after({denied("x")}));
}

}  // namespace
}  // namespace baton::hub
