!> Points far from each other: which few of many show most of what there is.
!>
!> Greedy selection (Gonzalez 1985): next comes the point for which the weight times the squared distance to the nearest
!> point there already is largest.  No other selection of as many points has less than half its largest distance left.
module tf_farthest
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, check_memory, error_stopped, error_value
   use tf_stop, only : stop_type, must_stop
!$ use omp_lib, only : omp_get_thread_num
   implicit none
   private
   public :: farthest_points

   !> Points between two looks for a stop
   integer, parameter :: block = 256

contains

   !> Choose size(chosen) of the points behind the first `n_given`, which are there already
   subroutine farthest_points(point, n_given, weight, n_threads, chosen, distance, error)
      !> (n_dimension, n_point)
      real(wp), intent(in) :: point(:, :)
      !> At least 1
      integer, intent(in) :: n_given
      !> (n_point - n_given) not negative
      real(wp), intent(in) :: weight(:)
      integer, intent(in) :: n_threads
      !> Places behind the given points, from 1, in the order in which they were chosen
      integer, intent(out) :: chosen(:)
      !> To the nearest point there was when each was chosen
      real(wp), intent(out) :: distance(:)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: nearest(:)
      integer :: k, at, latest, n, status
      type(stop_type) :: stop

      n = size(weight)
      chosen = 0
      distance = 0.0_wp
      if (n_given < 1 .or. size(point, 2) /= n_given + n .or. size(chosen) > n .or. size(distance) /= size(chosen)) then
         call raise(error, error_value, "arrays of points to choose from do not match")
         return
      end if
      allocate (nearest(n), stat=status)
      call check_memory(status, "the distances of points", 8_i8*n, error)
      if (allocated(error)) return

      call distances_to_given(point, n_given, n_threads, nearest, stop)
      latest = 0
      do k = 1, size(chosen)
         if (must_stop(stop, .true.)) exit
         call next_point(point, n_given, weight, n_threads, latest, nearest, at)
         chosen(k) = at
         distance(k) = sqrt(nearest(at))
         nearest(at) = -1.0_wp
         latest = at
      end do
      if (must_stop(stop, .false.)) call raise(error, error_stopped, "stopped")
   end subroutine farthest_points

   !> Squared distance of each point to the nearest given one
   subroutine distances_to_given(point, n_given, n_threads, nearest, stop)
      real(wp), intent(in) :: point(:, :)
      integer, intent(in) :: n_given, n_threads
      real(wp), intent(out) :: nearest(:)
      type(stop_type), intent(inout) :: stop
      integer :: b, i, k, thread

      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(b, i, k, thread)
      thread = 0
      !$ thread = omp_get_thread_num()
      !$omp do schedule(dynamic)
      do b = 1, size(nearest), block
         if (must_stop(stop, thread == 0)) cycle
         do i = b, min(b + block - 1, size(nearest))
            nearest(i) = huge(1.0_wp)
            do k = 1, n_given
               nearest(i) = min(nearest(i), squared_distance(point(:, n_given + i), point(:, k)))
            end do
         end do
      end do
      !$omp end do
      !$omp end parallel
   end subroutine distances_to_given

   !> Take the latest point into account, and find the next one: of equal ones the first, whatever the threads
   subroutine next_point(point, n_given, weight, n_threads, latest, nearest, at)
      real(wp), intent(in) :: point(:, :), weight(:)
      integer, intent(in) :: n_given, n_threads
      !> Point chosen last; 0: none
      integer, intent(in) :: latest
      !> Squared distances to the nearest point; negative: chosen
      real(wp), intent(inout) :: nearest(:)
      integer, intent(out) :: at
      real(wp) :: best, best_here
      integer :: i, at_here

      at = 0
      best = -1.0_wp
      !$omp parallel num_threads(n_threads) if(n_threads > 1) default(shared) private(i, best_here, at_here)
      at_here = 0
      best_here = -1.0_wp
      !$omp do schedule(static)
      do i = 1, size(nearest)
         if (nearest(i) < 0.0_wp) cycle
         if (latest > 0) then
            nearest(i) = min(nearest(i), squared_distance(point(:, n_given + i), point(:, n_given + latest)))
         end if
         if (weight(i)*nearest(i) > best_here) then
            best_here = weight(i)*nearest(i)
            at_here = i
         end if
      end do
      !$omp end do nowait
      !$omp critical (tf_farthest_best)
      if (best_here > best .or. (best_here == best .and. at_here < at)) then
         best = best_here
         at = at_here
      end if
      !$omp end critical (tf_farthest_best)
      !$omp end parallel
   end subroutine next_point

   pure real(wp) function squared_distance(a, b)
      !> (n) points
      real(wp), intent(in), contiguous :: a(:), b(:)
      integer :: d

      squared_distance = 0.0_wp
      !$omp simd reduction(+:squared_distance)
      do d = 1, size(a)
         squared_distance = squared_distance + (a(d) - b(d))**2
      end do
   end function squared_distance

end module tf_farthest
