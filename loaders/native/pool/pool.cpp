// The thread pool and the C ABI around it. None of its threads ever takes Python's GIL.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "pool/ahead.h"
#include "pool/sample.h"

namespace {

// How often this thread has slept, because it had to wait; -1 if the system does not count it.
int64_t sleeps() {
#ifdef RUSAGE_THREAD
  rusage used;
  if (getrusage(RUSAGE_THREAD, &used) == 0) return used.ru_nvcsw;
#endif
  return -1;
}

// The state of a sample for the threads that read ahead.
struct Slot {
  enum { kUnread, kReading, kRead, kTaken } state = kUnread;
  std::unique_ptr<et::Ahead> ahead;
  int64_t counted = 0;  // its part of EtPool::bytes_ahead
};

enum : int64_t { kMostAhead = 256 << 20 };  // bytes read ahead and not yet decoded
enum : int64_t { kMostRun = 8 };            // samples that one thread reads ahead together
enum { kMostFiles = 256 };                  // files opened by reading threads
constexpr std::chrono::seconds kIdle(2);    // after which a reading thread without work ends

// A quarter of the files that this process may open (often 1,024), because the program opens files, too.
int files_to_open() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMostFiles;
  return int(std::clamp<rlim_t>(limit.rlim_cur / 4, 1, kMostFiles));
}

}  // namespace

// A submitted batch. Threads take its samples in order until none is left.
struct EtTicket {
  EtBatch batch{};  // to be decoded, if `work` is empty
  std::function<void(int64_t, et::Scratch&, EtStats&)> work;
  int64_t count = 0;
  EtPool* pool = nullptr;
  const EtSample* samples = nullptr;  // null: nothing can be read ahead
  int fd = -1, side = 0;              // as in EtBatch
  // The pool's mutex guards all members below.
  int64_t next = 0, done = 0;
  int64_t ahead = 0;    // the next sample to read ahead
  int64_t reading = 0;  // reads in flight
  std::unique_ptr<Slot[]> slots;  // made with the first read ahead

  bool finished() const { return done == count && reading == 0; }
  int64_t bytes(int64_t i) const { return int64_t(samples[i].entry.size); }  // 0: not known
  bool own_file(int64_t i) const { return samples[i].entry.path > 0; }
};

struct EtPool {
  std::mutex mutex;
  std::condition_variable work, finished;
  std::condition_variable to_read, arrived;  // for reading threads; for decoding threads that wait for one of them
  std::deque<EtTicket*> queue;  // tickets with samples not yet taken, oldest first
  EtStats stats{};
  bool stop = false;
  bool closed = false;  // threads are gone; the last ticket deletes the pool
  int tickets = 0;      // not yet freed
  int waiting = 0;      // threads without work
  std::vector<std::thread> threads;
  std::list<std::thread> readers, ended;  // reading threads; those that have ended, and are yet to be joined
  et::Pace pace;
  const int most_files = files_to_open();
  int reading = 0;          // threads that are reading
  int64_t bytes_ahead = 0;  // memory of samples that were read ahead, or are being read, and are not yet taken
  std::vector<std::unique_ptr<et::Ahead>> spare;

  explicit EtPool(int decoding) : pace(decoding) {}

  void add(const EtStats& mine) {
    for (auto field : {&EtStats::read_ns, &EtStats::decode_ns, &EtStats::resample_ns, &EtStats::bytes_read,
                       &EtStats::bytes_decoded, &EtStats::samples, &EtStats::cut_ns, &EtStats::storage_ns})
      stats.*field += mine.*field;
  }

  void run() {
    et::Desk desk;
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      if (desk.empty()) {
        waiting++;
        work.wait(lock, [&] { return stop || !queue.empty(); });
        waiting--;
        if (stop) return;
      }
      // One thread decodes several samples faster together than in turn, but several threads are faster still.
      EtTicket* done = nullptr;
      if (!stop && !queue.empty() && !desk.full() && (desk.empty() || !waiting)) {
        done = begin(desk, lock);
      } else {
        EtStats mine{};
        lock.unlock();
        done = desk.advance(mine);
        lock.lock();
        add(mine);
      }
      if (done && (done->done++, done->finished())) finished.notify_all();
    }
  }

  // Begins the next sample on a desk. Returns its ticket if the sample is done.
  EtTicket* begin(et::Desk& desk, std::unique_lock<std::mutex>& lock) {
    EtTicket* ticket = queue.front();
    const int64_t i = ticket->next++;
    if (i + 1 >= ticket->count) queue.pop_front();
    EtStats mine{};
    auto ahead = take(ticket, i, lock, mine);
    const bool itself = !ahead;
    lock.unlock();
    et::Scratch& scratch = desk.scratch();
    if (ahead) scratch.file.swap(ahead->memory), scratch.ahead = ahead.get();
    bool done = true;
    if (ticket->work) ticket->work(i, scratch, mine);
    else done = desk.begin(ticket->batch, i, ticket, mine);
    scratch.ahead = nullptr;
    lock.lock();
    add(mine);
    if (itself && ticket->samples) pace.read(mine.read_ns), pace.met(mine.storage_ns, et::now_ns());
    if (ahead && pace.readers()) spare.push_back(std::move(ahead));
    if (!pace.readers()) spare.clear();
    employ();
    return done ? ticket : nullptr;
  }

  // The bytes of sample `i` that were read ahead; waits for a read in flight. Null if no read was begun.
  std::unique_ptr<et::Ahead> take(EtTicket* ticket, int64_t i, std::unique_lock<std::mutex>& lock, EtStats& mine) {
    Slot* slot = ticket->slots ? &ticket->slots[i] : nullptr;
    if (!slot) return nullptr;
    if (slot->state == Slot::kReading) {
      const int64_t start = et::now_ns();
      arrived.wait(lock, [&] { return slot->state == Slot::kRead; });
      const int64_t waited = et::now_ns() - start;
      mine.read_ns += waited, mine.storage_ns += waited;
    }
    if (slot->state == Slot::kRead) {
      pace.met(mine.storage_ns, et::now_ns());
      bytes_ahead -= slot->counted;
    }
    slot->state = Slot::kTaken;
    return std::move(slot->ahead);
  }

  // Starts reading threads up to the wanted number, and wakes one of them if there is work.
  void employ() {
    if (stop) return;
    for (; !ended.empty(); ended.pop_front()) ended.front().join();  // at once: they hold nothing any more
    if (!pace.readers()) return;
    try {
      while (int(readers.size()) < pace.readers()) readers.emplace_back([this] { read(); });
    } catch (...) {
      pace.limit(int(readers.size()));
    }
    if (readable()) to_read.notify_one();
  }

  // A ticket with samples to read ahead; null if there is none, or enough threads are reading.
  EtTicket* readable() {
    if (reading >= pace.readers() || bytes_ahead >= kMostAhead) return nullptr;
    for (EtTicket* ticket : queue) {
      ticket->ahead = std::max(ticket->ahead, ticket->next);
      if (ticket->samples && ticket->ahead < ticket->count)
        return ticket->own_file(ticket->ahead) && reading >= most_files ? nullptr : ticket;
    }
    return nullptr;
  }

  // How many samples of a ticket a thread reads together: such that the submitted samples give each thread two turns.
  int64_t run_of(const EtTicket* ticket) const {
    if (ticket->own_file(ticket->ahead)) return 1;
    int64_t known = 0;
    for (const EtTicket* other : queue) known += other->samples ? other->count - other->next : 0;
    const int64_t fair = std::clamp<int64_t>(known / (2 * pace.readers()), 1, kMostRun);
    return std::min(fair, ticket->count - ticket->ahead);
  }

  // Reserves one of the ticket's samples for reading ahead.
  void take_to_read(EtTicket* ticket, int64_t i) {
    if (!ticket->slots) ticket->slots.reset(new Slot[ticket->count]);
    Slot& slot = ticket->slots[i];
    if (spare.empty()) slot.ahead = std::make_unique<et::Ahead>();
    else slot.ahead = std::move(spare.back()), spare.pop_back();
    slot.state = Slot::kReading;
    bytes_ahead += slot.counted = ticket->bytes(i);
  }

  // This reading thread is about to end.
  void retire() {
    const auto mine = [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); };
    ended.splice(ended.end(), readers, std::find_if(readers.begin(), readers.end(), mine));
  }

  void read() {
    et::Ahead* run[kMostRun];
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      EtTicket* ticket = nullptr;
      const bool idle = !to_read.wait_for(lock, kIdle, [&] { return stop || (ticket = readable()); });
      if (stop) return;
      if (idle) return retire();
      const int64_t first = ticket->ahead, count = run_of(ticket);
      for (int64_t k = 0; k < count; k++) take_to_read(ticket, first + k), run[k] = ticket->slots[first + k].ahead.get();
      ticket->ahead += count, ticket->reading += count, reading++;
      if (readable()) to_read.notify_one();
      lock.unlock();
      EtStats mine{};
      const int64_t start = et::now_ns(), slept = sleeps();
      for (int64_t k = 0; k < count; k++) run[k]->begin(ticket->samples[first + k], ticket->fd, ticket->side);
      et::read_ahead(run, int(count), mine);
      // A run that never slept did not wait for storage: it was slow because decoding threads use the processors.
      const int64_t took = slept >= 0 && sleeps() == slept ? 0 : et::now_ns() - start;
      lock.lock();
      add(mine);
      for (int64_t k = 0; k < count; k++) {
        Slot& slot = ticket->slots[first + k];
        pace.read(took);
        slot.state = Slot::kRead;
        const int64_t held = int64_t(slot.ahead->memory.capacity());  // a file's size is known only now
        bytes_ahead += held - slot.counted, slot.counted = held;
      }
      ticket->reading -= count, reading--;
      arrived.notify_all();
      if (ticket->finished()) finished.notify_all();
    }
  }

  void submit(EtTicket* ticket, int64_t count) {
    ticket->count = count, ticket->pool = this;
    std::lock_guard<std::mutex> lock(mutex);
    tickets++;
    if (count > 0) queue.push_back(ticket);
    work.notify_all();
    employ();
  }

  // Gives back the memory that a ticket without work in progress has counted in `bytes_ahead`.
  void forget(EtTicket* ticket) {
    for (int64_t i = 0; ticket->slots && i < ticket->ahead; i++)
      if (ticket->slots[i].state == Slot::kRead) bytes_ahead -= ticket->slots[i].counted;
  }
};

extern "C" {

EtPool* et_pool_new(int32_t threads) {
  auto pool = std::make_unique<EtPool>(threads);
  try {
    for (int32_t i = 0; i < threads; i++) pool->threads.emplace_back([p = pool.get()] { p->run(); });
  } catch (...) {  // the system allows no more threads
    et_pool_free(pool.release());
    return nullptr;
  }
  return pool.release();
}

void et_pool_free(EtPool* pool) {
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->stop = true;
    pool->work.notify_all();
    pool->to_read.notify_all();
  }
  for (auto& thread : pool->threads) thread.join();
  for (auto* all : {&pool->readers, &pool->ended})
    for (auto& thread : *all) thread.join();
  // Garbage collection may free a pool before its tickets: the last ticket then frees the memory.
  bool last;
  {
    std::lock_guard<std::mutex> lock(pool->mutex);
    pool->closed = true;
    pool->finished.notify_all();
    last = pool->tickets == 0;
  }
  if (last) delete pool;
}

void et_pool_stats(EtPool* pool, EtStats* out) {
  std::lock_guard<std::mutex> lock(pool->mutex);
  *out = pool->stats;
}

int32_t et_pool_readers(EtPool* pool) {
  std::lock_guard<std::mutex> lock(pool->mutex);
  return pool->pace.readers();
}

void et_submit(EtPool* pool, const EtBatch* batch, EtTicket** out) {
  auto* ticket = *out = new EtTicket;
  ticket->batch = *batch;
  ticket->samples = batch->samples, ticket->fd = batch->fd, ticket->side = batch->side;
  pool->submit(ticket, batch->count);
}

void et_submit_cut(EtPool* pool, const EtCutBatch* batch, EtTicket** out) {
  auto* ticket = *out = new EtTicket;
  ticket->work = [b = *batch](int64_t i, et::Scratch& scratch, EtStats& stats) { et::cut_sample(b, i, scratch, stats); };
  ticket->samples = batch->samples, ticket->fd = batch->fd;
  pool->submit(ticket, batch->count);
}

int32_t et_ticket_wait(EtTicket* ticket, int32_t milliseconds) {
  std::unique_lock<std::mutex> lock(ticket->pool->mutex);
  const auto ready = [&] { return ticket->finished() || ticket->pool->closed; };
  if (!ticket->pool->finished.wait_for(lock, std::chrono::milliseconds(milliseconds), ready)) return 0;
  return ticket->finished() ? 1 : 2;
}

void et_ticket_free(EtTicket* ticket) {
  EtPool* pool = ticket->pool;
  bool last;
  {
    std::unique_lock<std::mutex> lock(pool->mutex);
    for (auto it = pool->queue.begin(); it != pool->queue.end(); ++it)
      if (*it == ticket) {
        ticket->count = ticket->next;  // no thread will take the rest
        pool->queue.erase(it);
        break;
      }
    pool->finished.wait(lock, [&] { return ticket->finished(); });
    pool->forget(ticket);
    last = --pool->tickets == 0 && pool->closed;
  }
  delete ticket;
  if (last) delete pool;
}

int32_t et_decode_one(const EtBatch* batch, int64_t i, EtStats* stats) {
  thread_local et::Scratch scratch;
  EtStats mine{};
  return et::run_sample(*batch, i, scratch, stats ? *stats : mine);
}

int32_t et_finish_one(const EtBatch* batch, int64_t i, const uint8_t* pixels, char* message) {
  thread_local et::Scratch scratch;
  return et::finish_sample(*batch, i, pixels, scratch, message);
}

void et_peek_files(EtPool* pool, const int64_t* paths, int64_t count, uint16_t* widths, uint16_t* heights, int32_t* status) {
  auto* ticket = new EtTicket;
  ticket->work = [=](int64_t i, et::Scratch& scratch, EtStats&) {
    status[i] = et::peek_file(reinterpret_cast<const char*>(paths[i]), scratch, widths[i], heights[i]);
  };
  pool->submit(ticket, count);
  while (!et_ticket_wait(ticket, 1000)) continue;
  et_ticket_free(ticket);
}

}  // extern "C"
