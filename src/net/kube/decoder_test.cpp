#include <gtest/gtest.h>

#include "net/kube/list_decoder.hpp"
#include "net/kube/object.hpp"
#include "net/kube/watch_decoder.hpp"

namespace baton::kube {
namespace {

const Type kPod{"", "v1", "Pod"};

const std::string kList =
    R"( {"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"next"},)"
    R"("items":[ {"metadata":{"name":"a\"}","resourceVersion":"5"},"x":["\\",{"y":"]"}]} ,)"
    R"({"metadata":{"name":"b"}}],"extra":[1,{"a":"b"}],"n":-1.5e3,"t":true} )"
    "\n";

struct Decoded {
  std::vector<std::string> names;
  Version version;
  std::string next_page;
  Status status;
};

Decoded decode(const std::string& text, std::size_t piece, const text::json::Keep* keep = nullptr) {
  Decoded out;
  ListDecoder decoder(kPod, keep, [&](Object item) { out.names.emplace_back(name_of(item)); });
  for (std::size_t at = 0; at < text.size() && out.status; at += piece) {
    out.status = decoder.feed(std::string_view(text).substr(at, piece));
  }
  if (out.status) out.status = decoder.finish();
  out.version = decoder.version();
  out.next_page = decoder.next_page();
  return out;
}

TEST(ListDecoder, ReadsTheSameHoweverTheBytesArrive) {
  for (std::size_t piece = 1; piece <= kList.size(); ++piece) {
    const Decoded got = decode(kList, piece);
    ASSERT_TRUE(got.status) << piece << ": " << got.status.error().message();
    EXPECT_EQ(got.names, (std::vector<std::string>{"a\"}", "b"})) << piece;
    EXPECT_EQ(got.version, "7");
    EXPECT_EQ(got.next_page, "next");
  }
}

TEST(ListDecoder, FillsInWhatItemsOfBuiltInTypesLeaveOut) {
  Object item;
  ListDecoder decoder(kPod, nullptr, [&](Object o) { item = std::move(o); });
  ASSERT_TRUE(
      decoder.feed(R"({"items":[{"metadata":{"name":"a"}}],"metadata":{"resourceVersion":"1"}})"));
  ASSERT_TRUE(decoder.finish());
  EXPECT_EQ(key_of(item).value_or(ObjectKey{}).type, kPod);
}

TEST(ListDecoder, KeepsOnlyWhatIsUsed) {
  const auto keep = text::json::Keep::only({"metadata.name"});
  Object item;
  ListDecoder decoder(kPod, &keep, [&](Object o) { item = std::move(o); });
  ASSERT_TRUE(decoder.feed(R"({"items":[{"metadata":{"name":"a","uid":"u"},"spec":{}}],)"));
  EXPECT_EQ(text::json::dump(item), R"({"metadata":{"name":"a"},"kind":"Pod","apiVersion":"v1"})");
}

TEST(ListDecoder, ReadsAnEmptyListAndOneThatIsNull) {
  for (const auto* items : {"[]", "null", "[ ]"}) {
    const Decoded got =
        decode(R"({"metadata":{"resourceVersion":"3"},"items":)" + std::string(items) + "}", 5);
    EXPECT_TRUE(got.status) << items;
    EXPECT_TRUE(got.names.empty());
  }
}

TEST(ListDecoder, RefusesWhatIsNoWholeList) {
  for (std::size_t cut = 0; cut + 3 < kList.size(); ++cut) {
    EXPECT_FALSE(decode(kList.substr(0, cut), 1000).status) << cut;
  }
  for (const auto* text :
       {"[]", "{}", R"({"items":[1]})", R"({"items":{}})", R"({"items":[{}{}]})",
        R"({"items":[{"a"}],"metadata":{"resourceVersion":"1"}})", R"({"a" 1})", R"({"a":1 "b":2})",
        R"({"a":tru})", R"({"items":[]}x)", R"({"items":[],"metadata":{}})", "<html>",
        R"({"items":[],"items":nul,"metadata":{"resourceVersion":"1"}})"}) {
    const Decoded got = decode(text, 3);
    ASSERT_FALSE(got.status) << text;
    EXPECT_EQ(got.status.error().code(), Code::kUnavailable) << text;
  }
}

TEST(ListDecoder, BoundsWhatItHolds) {
  const std::string many(1 << 20, 'x');
  ListDecoder decoder(kPod, nullptr, [](Object) {});
  ASSERT_TRUE(decoder.feed("{\"items\":[{\"a\":\""));
  Status status;
  std::size_t fed = 0;
  for (; status && fed <= kMaxItem; fed += many.size()) status = decoder.feed(many);
  EXPECT_FALSE(status);

  ListDecoder member(kPod, nullptr, [](Object) {});
  EXPECT_FALSE(member.feed("{\"metadata\":{\"a\":\"" + many));
}

std::string event(const std::string& type, const std::string& name, const std::string& version) {
  return R"({"type":")" + type + R"(","object":{"metadata":{"name":")" + name +
         R"(","resourceVersion":")" + version + "\"}}}\n";
}

TEST(WatchDecoder, ReadsEventsAndBookmarksHoweverTheyArrive) {
  const std::string stream = event("ADDED", "a", "1") + "\n" + event("BOOKMARK", "", "2") +
                             event("MODIFIED", "a", "3") + event("DELETED", "a", "4");
  for (std::size_t piece = 1; piece < stream.size(); ++piece) {
    WatchDecoder decoder(kPod, nullptr);
    std::string seen;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      decoder.feed(std::string_view(stream).substr(at, piece));
      while (true) {
        auto message = decoder.next();
        ASSERT_TRUE(message) << message.error().message();
        if (!*message) break;
        const Event* e = (*message)->event ? &*(*message)->event : nullptr;
        seen += (e == nullptr ? "b" : std::to_string(static_cast<int>(e->kind))) +
                (*message)->version + " ";
        if (e != nullptr) EXPECT_EQ(e->object.string_at({"kind"}), "Pod");
      }
    }
    EXPECT_EQ(seen, "01 b2 13 24 ") << piece;
    EXPECT_FALSE(decoder.mid_line());
  }
}

TEST(WatchDecoder, SaysThatAWatchExpired) {
  WatchDecoder decoder(kPod, nullptr);
  decoder.feed(R"j({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",)j"
               R"j("message":"too old resource version: 1 (9)"}})j"
               "\n");
  const auto next = decoder.next();
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code(), Code::kConflict);
  EXPECT_EQ(next.error().message(), "watch of Pod: expired: too old resource version: 1 (9)");
}

TEST(WatchDecoder, RefusesLinesThatAreNoEvents) {
  for (const std::string line :
       {"garbage", "{}", "[]", "\"x\"", R"({"type":"ADDED"})", R"({"type":"ADDED","object":3})",
        R"({"type":"OTHER","object":{"metadata":{"resourceVersion":"1"}}})", R"({"type":"ERROR"})",
        R"({"type":"ERROR","object":[]})"}) {
    WatchDecoder decoder(kPod, nullptr);
    decoder.feed(line + "\n");
    const auto next = decoder.next();
    ASSERT_FALSE(next) << line;
    EXPECT_EQ(next.error().code(), Code::kUnavailable) << line;
  }
}

TEST(WatchDecoder, KnowsALineThatIsCutOff) {
  WatchDecoder decoder(kPod, nullptr);
  decoder.feed(event("ADDED", "a", "1").substr(0, 20));
  EXPECT_FALSE(decoder.next().value_or(WatchDecoder::Message{}).has_value());
  EXPECT_TRUE(decoder.mid_line());
}

}  // namespace
}  // namespace baton::kube
